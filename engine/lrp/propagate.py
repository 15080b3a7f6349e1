"""Take relevance backwards over a tape, operation by operation."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from engine.capture.kernel import wide
from engine.errors import UnsupportedModel
from engine.lrp import rules
from engine.lrp.conventions import DEFAULT, Conventions
from engine.lrp.follow import VIEWS, order_of
from engine.lrp.operations import OPERATIONS
from engine.lrp.sample_axis import per_sample
from engine.lrp.tape import Node, Tape, Value

RESHAPES = VIEWS
SAME = frozenset(["clone", "_to_copy", "alias", "detach", "contiguous", "lift_fresh"])
AXES = frozenset(["permute", "transpose", "t"])


Scope = tuple[Hashable, ...]
Arrival = tuple[Scope, Tensor]
"""Relevance from one consumer, and the announced module calls that the consumer ran in."""


class MixedSamples(Exception):
    """It cannot be told which elements belong to which sample: the samples must be taken one by one."""


class Propagation:
    """Rules of the authors' LRP, "conserving" or "classic", applied to a tape.

    ``operations`` says how relevance passes each operation, in terms of the rules here. Subclasses change the rules.

    Args:
        tape: the recorded forward pass.
        wanted: values whose relevance is asked for; nothing is computed that they do not need.
        attention: attention maps among the values: products with them are A V.
        conserving: which of the two variants.
        conventions: of the family.
    """

    def __init__(
        self,
        tape: Tape,
        wanted: Sequence[Value],
        attention: Sequence[Value] = (),
        conserving: bool = True,
        conventions: Conventions = DEFAULT,
    ) -> None:
        self.tape, self.wanted = tape, list(wanted)
        self.conserving, self.conventions = conserving, conventions
        self.needed = set(wanted)
        self.maps = set(attention)
        self.producer: dict[Value, Node] = {}
        self.scores: set[Value] = set()
        self.biases: dict[Node, Value] = {}
        self.with_bias: set[Value] = set()
        for node in tape.nodes:
            self._survey(node)
        self.arrived: dict[Value, list[Arrival]] = {}
        self._scope: Scope = ()

    def _survey(self, node: Node) -> None:
        inputs = node.inputs
        for out in node.outputs:
            if out is not None:
                self.producer[out] = node
                if any(v in self.needed for v in inputs):
                    self.needed.add(out)
                if node.op in RESHAPES | SAME | {"expand"} and inputs[0] in self.maps:
                    self.maps.add(out)
        if node.op == "_softmax":
            maker = self.producer.get(inputs[0])
            filled = maker is not None and maker.op == "masked_fill"
            self.scores.add(maker.inputs[0] if maker is not None and filled else inputs[0])
        if node.op == "add" and len(inputs) == 2 and self.is_bias(inputs[1]):
            maker = self._maker(inputs[0])
            if maker is not None and maker.op in ("mm", "bmm") and self.is_weight(maker.args[1]):
                self.biases[maker] = inputs[1]
                self.with_bias.update(v for v in node.outputs if v is not None)

    def _maker(self, value: Value) -> Node | None:
        """The operation that computed a value, seen through views and copies."""
        maker = self.producer.get(value)
        while maker is not None and maker.op in RESHAPES | SAME:
            maker = self.producer.get(maker.inputs[0])
        return maker

    def is_bias(self, value: Value) -> bool:
        """A weight of one axis."""
        return self.is_weight(value) and value.tensor.dim() <= 1

    @torch.no_grad()
    def run(self, start: Mapping[Value, Tensor]) -> dict[Value, Tensor]:
        """Return the relevance of every wanted value, zeros where none arrives.

        Args:
            start: relevance of values of the output, in their shapes.

        Raises:
            UnsupportedModel: relevance would have to pass an operation that has no rule.
            MixedSamples: a rule needs sums per sample and the sample axis is unknown.
        """
        self.arrived = {value: [((), wide(relevance))] for value, relevance in start.items()}
        for node in reversed(self.tape.nodes):
            if any(v in self.needed for v in node.inputs) and any(v in self.arrived for v in node.outputs if v):
                self._pass(node)
        found = {v: self.combined(v) if v in self.arrived else torch.zeros_like(wide(v.tensor)) for v in self.wanted}
        self.arrived = {}
        return found

    def combined(self, value: Value) -> Tensor:
        """The relevance of a value from all its consumers (Clone rule)."""
        arrivals, x = self.arrived[value], wide(value.tensor)
        relevance = arrivals[0][1] if len(arrivals) == 1 else self._merged(arrivals, x, depth=0)
        return self.clone([relevance], x) if value.cloned else relevance

    def _merged(self, arrivals: Sequence[Arrival], x: Tensor, depth: int) -> Tensor:
        """Clone rule among the consumers inside each announced module first, then among what they return."""
        groups: dict[Any, list[Arrival]] = {}
        for i, (scope, relevance) in enumerate(arrivals):
            groups.setdefault(scope[depth] if len(scope) > depth else i, []).append((scope, relevance))
        parts = [g[0][1] if len(g) == 1 else self._merged(g, x, depth + 1) for g in groups.values()]
        return parts[0] if len(parts) == 1 else self.clone(parts, x)

    def send(self, value: Any, relevance: Tensor) -> None:
        """Add a consumer's relevance to a value, in the value's shape, if anything wanted depends on it."""
        if isinstance(value, Value) and value in self.needed:
            self.arrived.setdefault(value, []).append((self._scope, relevance))

    def _pass(self, node: Node) -> None:
        self._scope = node.scope
        x, out = node.inputs[0], node.outputs[0]
        if node.op in RESHAPES or node.op in SAME or node.op in AXES:
            assert out is not None
            for self._scope, relevance in self.arrived[out]:  # noqa: B020  one by one: a view is the same value
                self.send(x, self._unviewed(node, relevance))
            return
        if node.op not in OPERATIONS:
            raise UnsupportedModel(
                f"relevance cannot be propagated through the operation {node.op!r}: it has no LRP rule"
            )
        OPERATIONS[node.op](self, node)

    def _unviewed(self, node: Node, relevance: Tensor) -> Tensor:
        x = node.inputs[0].tensor
        if node.op in AXES:
            order = order_of(node.op, node.args, x.dim())
            return relevance.permute([order.index(i) for i in range(len(order))])
        return relevance.reshape(x.shape)

    def relevance(self, node: Node) -> Tensor:
        """What arrived at a node's first output."""
        assert node.outputs[0] is not None
        return self.combined(node.outputs[0])

    def split(self, node: Node, *parts: Tensor) -> list[Tensor]:
        """View tensors of the output's shape as [outer, B, inner]."""
        out = node.outputs[0]
        assert out is not None
        batch = self.tape.batch
        if batch == 1:
            return [p.reshape(1, 1, -1) for p in parts]
        if out.outer is None:
            raise MixedSamples
        return [per_sample(p, out.outer, batch) for p in parts]

    # The rules proper. Subclasses change these.

    def clone(self, relevances: Sequence[Tensor], x: Tensor) -> Tensor:
        """Relevance of a value that several operations read."""
        return rules.clone(relevances, x)

    def linear(self, node: Node, relevance: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Linear layer: R [..., out], x [..., in], weight [in, out] -> [..., in]."""
        rule = rules.linear_conserving if self.conserving else rules.linear_classic
        result = rule(relevance, x, weight)
        if not self.conventions.linear_keeps_sum:
            return result
        whole, arrived = self._rows_per_sample(node, result), self._rows_per_sample(node, relevance)
        return rules.rescaled(whole, arrived).reshape(result.shape)

    def _rows_per_sample(self, node: Node, rows: Tensor) -> Tensor:
        out = node.outputs[0]
        assert out is not None
        if self.tape.batch > 1 and out.outer is None:
            raise MixedSamples
        return per_sample(rows, out.outer or 1, self.tape.batch)

    def add(self, node: Node, relevance: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of two tensors of one shape."""
        if not self.conserving:
            return rules.add_classic(relevance, a, b)
        shares = rules.add_conserving(*self.split(node, relevance, a, b))
        return shares[0].reshape(a.shape), shares[1].reshape(b.shape)

    def product(self, relevance: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Matrix product of two activations."""
        return rules.product(relevance, a, b)

    def mean(self, relevance: Tensor, x: Tensor, total: Tensor) -> Tensor:
        """Sum over axes; R and total broadcast to x."""
        return rules.proportional_mean(relevance, x, total)

    def dot(self, relevance: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Dot product of two embeddings, for the tower of ``a``."""
        return rules.dot(relevance, a, b)

    def softmax(self, relevance: Tensor, scores: Tensor, attention: Tensor) -> Tensor:
        """Softmax over the last axis."""
        return relevance

    def layer_norm(self, node: Node, relevance: Tensor) -> Tensor:
        """Layer normalisation."""
        return relevance

    def picked(self, relevance: Tensor, chosen: Tensor) -> Tensor:
        """What to put back for selected elements; see :meth:`weighed` for the rest of the rule."""
        return rules.selected(relevance, chosen)

    def gate(self, relevance: Tensor) -> Tensor:
        """Each factor's part of an element-wise product of two activations: half, as for a matrix product."""
        return relevance / 2

    def mask_counts(self) -> bool:
        """Whether an additive mask on the scores is an operand of an Add."""
        return self.conventions.mask_is_operand

    # What counts as what.

    def is_weight(self, value: Value) -> bool:
        """Constant, and nothing wanted is found below it."""
        return value.constant and value not in self.needed

    def gets_nothing(self, operand: Value, out: Value) -> bool:
        """Biases never take relevance; masks and position embeddings as the conventions say."""
        if self.is_bias(operand):
            return True
        if not self.is_weight(operand):
            return False
        if out not in self.scores and not operand.tensor.any():
            return False  # DETR's decoder starts from zeros: no position embedding
        return not (self.mask_counts() if out in self.scores else self.conventions.positions_share)

    def weighed(self, back: Tensor, x: Value) -> Tensor:
        """Second half of the rule for selected elements."""
        return back * wide(x.tensor)
