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
from engine.lrp.follow import VIEWS, axis_of, order_of
from engine.lrp.sample_axis import per_sample
from engine.lrp.tape import POINTWISE, Node, Tape, Value

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
        self._maps = set(attention)
        self.producer: dict[Value, Node] = {}
        self._scores: set[Value] = set()
        self._biases: dict[Node, Value] = {}
        self._with_bias: set[Value] = set()
        for node in tape.nodes:
            self._survey(node)
        self._arrived: dict[Value, list[Arrival]] = {}
        self._scope: Scope = ()

    def _survey(self, node: Node) -> None:
        inputs = node.inputs
        for out in node.outputs:
            if out is not None:
                self.producer[out] = node
                if any(v in self.needed for v in inputs):
                    self.needed.add(out)
                if node.op in RESHAPES | SAME | {"expand"} and inputs[0] in self._maps:
                    self._maps.add(out)
        if node.op == "_softmax":
            maker = self.producer.get(inputs[0])
            filled = maker is not None and maker.op == "masked_fill"
            self._scores.add(maker.inputs[0] if maker is not None and filled else inputs[0])
        if node.op == "add" and len(inputs) == 2 and self._is_bias(inputs[1]):
            maker = self._maker(inputs[0])
            if maker is not None and maker.op in ("mm", "bmm") and self._is_weight(maker.args[1]):
                self._biases[maker] = inputs[1]
                self._with_bias.update(v for v in node.outputs if v is not None)

    def _maker(self, value: Value) -> Node | None:
        """The operation that computed a value, seen through views and copies."""
        maker = self.producer.get(value)
        while maker is not None and maker.op in RESHAPES | SAME:
            maker = self.producer.get(maker.inputs[0])
        return maker

    def _is_bias(self, value: Value) -> bool:
        return self._is_weight(value) and value.tensor.dim() <= 1

    @torch.no_grad()
    def run(self, start: Mapping[Value, Tensor]) -> dict[Value, Tensor]:
        """Return the relevance of every wanted value, zeros where none arrives.

        Args:
            start: relevance of values of the output, in their shapes.

        Raises:
            UnsupportedModel: relevance would have to pass an operation that has no rule.
            MixedSamples: a rule needs sums per sample and the sample axis is unknown.
        """
        self._arrived = {value: [((), wide(relevance))] for value, relevance in start.items()}
        for node in reversed(self.tape.nodes):
            if any(v in self.needed for v in node.inputs) and any(v in self._arrived for v in node.outputs if v):
                self._pass(node)
        found = {v: self.combined(v) if v in self._arrived else torch.zeros_like(wide(v.tensor)) for v in self.wanted}
        self._arrived = {}
        return found

    def combined(self, value: Value) -> Tensor:
        """The relevance of a value from all its consumers (Clone rule)."""
        arrivals, x = self._arrived[value], wide(value.tensor)
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
            self._arrived.setdefault(value, []).append((self._scope, relevance))

    def _pass(self, node: Node) -> None:
        self._scope = node.scope
        x, out = node.inputs[0], node.outputs[0]
        if node.op in RESHAPES or node.op in SAME or node.op in AXES:
            assert out is not None
            for self._scope, relevance in self._arrived[out]:  # noqa: B020  one by one: a view is the same value
                self.send(x, self._unviewed(node, relevance))
            return
        rule = getattr(self, f"_{node.op.strip('_')}", None)
        if node.op in POINTWISE:
            rule = self._pointwise
        if rule is None:
            raise UnsupportedModel(
                f"relevance cannot be propagated through the operation {node.op!r}: it has no LRP rule"
            )
        rule(node)

    def _unviewed(self, node: Node, relevance: Tensor) -> Tensor:
        x = node.inputs[0].tensor
        if node.op in AXES:
            order = order_of(node.op, node.args, x.dim())
            return relevance.permute([order.index(i) for i in range(len(order))])
        return relevance.reshape(x.shape)

    def _relevance(self, node: Node) -> Tensor:
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

    # One method per operation.

    def _pointwise(self, node: Node) -> None:
        self.send(node.inputs[0], self._relevance(node))

    def _softmax(self, node: Node) -> None:
        out = node.outputs[0]
        assert out is not None
        x = node.inputs[0]
        self.send(x, self.softmax(self._relevance(node), wide(x.tensor), wide(out.tensor)))

    _fused_rms_norm = _pointwise  # identity in all variants (AttnLRP: proposition 3.4)

    def _native_layer_norm(self, node: Node) -> None:
        self.send(node.inputs[0], self.layer_norm(node, self._relevance(node)))

    def _addmm(self, node: Node) -> None:
        bias, x, weight = node.args[:3]
        self._matrix_product(node, x, weight, bias)

    def _mm(self, node: Node) -> None:
        # where its input is not contiguous, torch takes a linear layer apart into a product and a sum
        self._matrix_product(node, node.args[0], node.args[1], self._biases.get(node))

    _bmm = _mm

    def _matrix_product(self, node: Node, a: Value, b: Value, bias: Value | None) -> None:
        relevance, left, right = self._relevance(node), wide(a.tensor), wide(b.tensor)
        if self._is_weight(b) and a not in self._maps:
            self.send(a, self.linear(node, relevance, left, right, None if bias is None else wide(bias.tensor)))
        elif self._is_weight(a) and b not in self._maps:
            self.send(b, self.linear(node, relevance.mT, right.mT, left.mT, None).mT)
        else:
            for value, share in zip((a, b), self.product(relevance, left, right), strict=True):
                self.send(value, share)

    def _is_weight(self, value: Value) -> bool:
        return value.constant and value not in self.needed

    def _add(self, node: Node) -> None:
        relevance, out, (a, b) = self._relevance(node), node.outputs[0], node.args[:2]
        assert out is not None
        if not isinstance(b, Value) or out.origin is not None:
            self.send(a if out.origin is None else out.origin, relevance)
            return
        if not isinstance(a, Value) or self._gets_nothing(a, out):
            self.send(b, relevance if b.tensor.shape == out.tensor.shape else relevance.sum_to_size(b.tensor.shape))
        elif self._gets_nothing(b, out):
            self.send(a, relevance)
        else:
            factor = node.kwargs.get("alpha", 1) * (-1 if node.op == "sub" else 1)
            x, y = (wide(v.tensor).expand_as(out.tensor) for v in (a, b))
            for value, share in zip((a, b), self.add(node, relevance, x, y * factor), strict=True):
                self.send(value, share.sum_to_size(value.tensor.shape))

    _sub = _add

    def _gets_nothing(self, operand: Value, out: Value) -> bool:
        """Biases never take relevance; masks and position embeddings as the conventions say."""
        if self._is_bias(operand):
            return True
        if not self._is_weight(operand):
            return False
        if out not in self._scores and not operand.tensor.any():
            return False  # DETR's decoder starts from zeros: no position embedding
        return not (self.mask_counts() if out in self._scores else self.conventions.positions_share)

    def _mul(self, node: Node) -> None:
        relevance, out, (a, b) = self._relevance(node), node.outputs[0], node.args[:2]
        assert out is not None
        factors = [v for v in (a, b) if isinstance(v, Value) and v in self.needed]
        full = [v for v in factors if v.tensor.shape == out.tensor.shape]
        if out.origin is not None and len(factors) == 2:
            self.send(out.origin, relevance)  # x * gate(x) is one element-wise function of x
        elif len(factors) == 1 or len(full) == 1:
            value = (full or factors)[0]  # a factor that is broadcast is a statistic: it scales
            self.send(value, relevance.sum_to_size(value.tensor.shape))
        else:
            for value in factors:
                self.send(value, self.gate(relevance).sum_to_size(value.tensor.shape))

    def _div(self, node: Node) -> None:
        self.send(node.args[0], self._relevance(node).sum_to_size(node.args[0].tensor.shape))

    def _expand(self, node: Node) -> None:
        x = node.inputs[0]
        self.send(x, self._relevance(node).sum_to_size(x.tensor.shape))

    def _sum(self, node: Node) -> None:
        x, out = node.inputs[0], node.outputs[0]
        assert out is not None
        dims = x.tensor.dim()
        axes = [a % dims for a in (node.args[1] if len(node.args) > 1 and node.args[1] else range(dims))]
        kept = [1 if i in axes else n for i, n in enumerate(x.tensor.shape)]
        relevance = self._relevance(node).reshape(kept)
        maker = self.producer.get(x)
        factors = [v for v in maker.inputs if v in self.needed] if maker and maker.op == "mul" else []
        if len(factors) == 2 and axes == [dims - 1] and x.origin is None:
            for one, other in (factors, factors[::-1]):  # each tower sees the other's embedding as its weights
                self.send(one, self.dot(relevance, wide(one.tensor), wide(other.tensor)))
            return
        values = wide(x.tensor)
        self.send(x, self.mean(relevance, values, values.sum(dim=axes, keepdim=True)))

    _mean = _sum

    def _select(self, node: Node) -> None:
        x, axis, index = node.inputs[0], node.args[1], node.args[2]
        back = torch.zeros_like(wide(x.tensor))
        back.select(axis, index).copy_(self._put_back(node))
        self.send(x, self.weighed(back, x))

    def _gather(self, node: Node) -> None:
        x, axis, index = node.args[0], node.args[1], node.args[2].tensor
        back = torch.zeros_like(wide(x.tensor)).scatter_add_(axis, index, self._put_back(node))
        self.send(x, self.weighed(back, x))

    def _index(self, node: Node) -> None:
        x, indices = node.args[0], [None if i is None else i.tensor for i in node.args[1]]
        back = torch.zeros_like(wide(x.tensor))
        back.index_put_(indices, self._put_back(node), accumulate=True)
        self.send(x, self.weighed(back, x))

    def _put_back(self, node: Node) -> Tensor:
        out = node.outputs[0]
        assert out is not None
        return self.picked(self._relevance(node), wide(out.tensor))

    def weighed(self, back: Tensor, x: Value) -> Tensor:
        """Second half of the rule for selected elements."""
        return back * wide(x.tensor)

    def _slice(self, node: Node) -> None:
        x, arguments = node.inputs[0], list(node.args[1:])
        axis, first, last, step = (arguments + [0, None, None, 1][len(arguments) :])[:4]
        index: list[Any] = [slice(None)] * x.tensor.dim()
        index[axis] = slice(first, last, step)
        back = torch.zeros_like(wide(x.tensor))
        back[tuple(index)] = self._relevance(node)
        self.send(x, back)

    def _unbind(self, node: Node) -> None:
        parts = [self._part(v) for v in node.outputs if v is not None]
        self.send(node.inputs[0], torch.stack(parts, dim=axis_of(node.op, node.args, node.inputs[0].tensor.dim())))

    def _split(self, node: Node) -> None:
        parts = [self._part(v) for v in node.outputs if v is not None]
        self.send(node.inputs[0], torch.cat(parts, dim=axis_of(node.op, node.args, node.inputs[0].tensor.dim())))

    _split_with_sizes = _split
    _chunk = _split

    def _part(self, value: Value) -> Tensor:
        return self.combined(value) if value in self._arrived else torch.zeros_like(wide(value.tensor))

    def _cat(self, node: Node) -> None:
        axis = int(node.args[1]) if len(node.args) > 1 else 0
        values = [v for v in node.args[0] if v.tensor.numel()]
        parts = self._relevance(node).split([v.tensor.shape[axis] for v in values], dim=axis)
        for value, part in zip(values, parts, strict=True):
            self.send(value, part)

    def _stack(self, node: Node) -> None:
        axis = int(node.args[1]) if len(node.args) > 1 else 0
        for value, part in zip(node.args[0], self._relevance(node).unbind(axis), strict=True):
            self.send(value, part)

    def _roll(self, node: Node) -> None:
        back = [-shift for shift in node.args[1]]
        axes = node.args[2] if len(node.args) > 2 else ()
        self.send(node.args[0], torch.roll(self._relevance(node), back, axes))

    def _flip(self, node: Node) -> None:
        self.send(node.args[0], self._relevance(node).flip(node.args[1]))

    def _where(self, node: Node) -> None:
        chosen, relevance = node.args[0].tensor, self._relevance(node)
        for value, mine in zip(node.args[1:], (chosen, ~chosen), strict=True):
            if isinstance(value, Value):
                self.send(value, torch.where(mine, relevance, 0.0).sum_to_size(value.tensor.shape))

    def _masked_fill(self, node: Node) -> None:
        self.send(node.args[0], self._relevance(node).masked_fill(node.args[1].tensor, 0.0))

    def _convolution(self, node: Node) -> None:
        x, weight, _, stride, padding, dilation, transposed, _, groups = node.args
        if x not in self.wanted or transposed or groups != 1 or set(dilation) != {1} or x.tensor.dim() != 4:
            raise UnsupportedModel(
                "LRP to the pixels is defined for one convolution that cuts the image into patches; "
                "this model has a convolution that is none"
            )
        self.send(x, rules.z_box(self._relevance(node), wide(x.tensor), wide(weight.tensor), stride, padding))
