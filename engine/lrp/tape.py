"""Record what a model computes: a list of operations with their tensors, kept alive."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from engine.lrp.follow import follow

ACTIVATIONS = ["gelu", "relu", "tanh", "sigmoid", "silu", "elu", "leaky_relu", "hardtanh", "hardswish", "hardsigmoid"]
FUNCTIONS = ["softplus", "mish", "erf", "exp", "clamp", "clamp_min", "clamp_max", "neg", "pow", "native_dropout"]
NORMS = ["native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"]
POINTWISE = frozenset([*ACTIVATIONS, *FUNCTIONS, *NORMS])
"""Operations that work on each element of their first operand by itself."""


@dataclass(eq=False)
class Value:
    """A tensor of the forward pass.

    Attributes:
        tensor: the numbers, as they were when the operation ran.
        constant: does not depend on an input of the model (weights, position embeddings, masks).
        outer: where the samples lie (see ``sample_axis``); None when unknown or when there is no sample axis.
        cloned: takes the Clone rule even when only one operation reads it.
        origin: the value of which this one is an element-wise function; itself unless it is one.
    """

    tensor: Tensor
    constant: bool
    outer: int | None = None
    origin: Value | None = None
    cloned: bool = False

    @property
    def source(self) -> Value:
        """The value of which this one is an element-wise function."""
        return self.origin or self


@dataclass(eq=False)
class Node:
    """One operation: ``outputs = op(*args)``, with values in place of tensors.

    ``scope`` says in which of the announced module calls it ran, outermost first.
    """

    op: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[Value | None, ...]
    scope: tuple[Hashable, ...] = ()

    @property
    def inputs(self) -> list[Value]:
        """All values among the arguments."""
        return [v for a in (*self.args, *self.kwargs.values()) for v in (a if isinstance(a, list | tuple) else (a,))
                if isinstance(v, Value)]  # fmt: skip


class Tape(TorchDispatchMode):
    """Records every ATen operation while it is active. Run under ``no_grad``: the tape is the graph.

    Args:
        roots: input tensors that carry relevance; everything computed from weights, masks and positions alone is
            constant.
        batch: number of samples; they lie on axis 0 of the roots.
    """

    def __init__(self, roots: Sequence[Tensor], batch: int) -> None:
        super().__init__()
        self.batch = batch
        self.nodes: list[Node] = []
        self.scope: list[Hashable] = []
        self._overwritten: list[Tensor] = []
        self._values: dict[int, Value] = {}
        self._by_storage: dict[int, list[Value]] = {}
        for root in roots:
            self._keep(Value(root, constant=False, outer=1))

    def value(self, tensor: Tensor) -> Value:
        """The value of a tensor; unknown ones are weights, buffers and inputs that carry no relevance."""
        known = self._values.get(id(tensor))
        return known if known is not None else self._keep(Value(tensor, constant=True))

    @property
    def nbytes(self) -> int:
        """Memory that the recorded tensors hold, weights apart."""
        values = (v for node in self.nodes for v in node.outputs if v is not None and not v.constant)
        return sum(
            {v.tensor.untyped_storage().data_ptr(): v.tensor.untyped_storage().nbytes() for v in values}.values()
        )

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and note it down."""
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        written = [
            a for a, s in zip(args, func._schema.arguments, strict=False) if s.alias_info and s.alias_info.is_write
        ]
        held_args = tuple(self._held(a) for a in args)
        held_kwargs = {k: self._held(v) for k, v in kwargs.items()}
        for tensor in written:
            if isinstance(tensor, Tensor):
                self._freeze(tensor)
        result = func(*args, **kwargs)
        outputs = result if isinstance(result, tuple | list) else (result,)
        self._note(name.rstrip("_") if written else name, held_args, held_kwargs, outputs)
        return result

    def _note(self, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Sequence[Any]) -> None:
        node = Node(op, args, kwargs, ())
        inputs = node.inputs
        constant = all(v.constant for v in inputs)
        values: list[Value | None] = []
        for out in outputs:
            if not isinstance(out, Tensor):
                values.append(None)
                continue
            fixed = constant or out.dtype == torch.bool  # what a comparison says is a mask, not content
            value = Value(out, fixed, None if fixed else follow(op, args, out, self.batch))
            value.origin = _origin(op, inputs, out)
            values.append(self._keep(value))
        node.outputs, node.scope = tuple(values), tuple(self.scope)
        self.nodes.append(node)

    def _held(self, argument: Any) -> Any:
        if isinstance(argument, Tensor):
            return self.value(argument)
        if isinstance(argument, list | tuple):
            return [self._held(a) for a in argument]
        return argument

    def _keep(self, value: Value) -> Value:
        self._values[id(value.tensor)] = value
        self._by_storage.setdefault(value.tensor.untyped_storage().data_ptr(), []).append(value)
        return value

    def _freeze(self, tensor: Tensor) -> None:
        """Before a tensor is written to, give every value that shares its memory a copy of the old numbers."""
        for value in list(self._by_storage.pop(tensor.untyped_storage().data_ptr(), [])):
            alias = value.tensor
            value.tensor = alias.clone()
            self._overwritten.append(alias)  # kept alive: its id must not be given to another tensor
            if alias is not tensor and self._values.get(id(alias)) is value:
                changed = Value(alias, constant=False)
                self.nodes.append(Node("overwritten", (value,), {}, (self._keep(changed),)))


def _origin(op: str, inputs: Sequence[Value], out: Tensor) -> Value | None:
    """The value that ``out`` is an element-wise function of, or None."""
    if not inputs or inputs[0].tensor.shape != out.shape:
        return None
    if op in POINTWISE:
        return inputs[0].source
    if op not in ("mul", "div", "add", "sub"):
        return None
    if len(inputs) == 1:
        return inputs[0].source
    first, second = inputs
    if first.source is second.source and not first.constant:
        return first.source
    return first.source if op in ("mul", "div") and second.constant else None
