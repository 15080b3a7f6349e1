"""Follow the position of the samples through one ATen operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from engine.lrp.sample_axis import after_broadcast, after_permute, after_removal, find_axis

VIEWS = frozenset(["view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "flatten", "unflatten", "_reshape_alias"])
COPIES = frozenset(["clone", "_to_copy", "alias", "detach", "contiguous", "lift_fresh"])
ALONG_AXIS = frozenset(
    ["select", "slice", "narrow", "split", "split_with_sizes", "unbind", "chunk", "gather", "index_select"]
)
FIRST_OPERAND = frozenset(["_softmax", "native_layer_norm", "native_group_norm", "convolution", "embedding"])


def follow(op: str, args: Sequence[Any], out: Tensor, batch: int) -> int | None:
    """Return ``outer`` of an output (see ``sample_axis``), or None when it cannot be told.

    Args:
        op: name of the operation.
        args: its arguments, values in place of tensors (with ``tensor`` and ``outer``).
        out: the output.
        batch: number of samples; with one sample there is nothing to follow.
    """
    if batch == 1:
        return 0 if out.numel() == 0 else 1
    if op in ("cat", "stack"):
        return _joined(op, args, out, batch)
    first = _first(args)
    if first is None or first.outer is None:
        return _checked(_elementwise(args, out), out, batch)
    shape, outer = first.tensor.shape, first.outer
    if op in VIEWS:
        found: int | None = outer
    elif op in ("permute", "transpose", "t"):
        found = after_permute(shape, outer, order_of(op, args, first.tensor.dim()))
    elif op in ALONG_AXIS:
        found = after_removal(shape, outer, axis_of(op, args, first.tensor.dim()), out.shape)
    elif op in ("mm", "addmm", "bmm"):
        found = _rows(args, op)
    elif op == "index":
        found = 1 if _axis(shape, outer) == 0 and len(out) == batch else None
    elif op in ("sum", "mean"):
        found = _reduced(shape, outer, args, out)
    elif op in COPIES or op in FIRST_OPERAND:
        found = outer
    else:
        found = _elementwise(args, out)
    return _checked(found, out, batch)


def order_of(op: str, args: Sequence[Any], dims: int) -> list[int]:
    """The axes in their new order, for permute, transpose and t."""
    order = list(range(dims))
    if op == "permute":
        return [int(i) % dims for i in args[1]]
    if dims >= 2:
        a, b = (0, 1) if op == "t" else (int(args[1]) % dims, int(args[2]) % dims)
        order[a], order[b] = order[b], order[a]
    return order


def axis_of(op: str, args: Sequence[Any], dims: int) -> int:
    """The axis argument of an operation along one axis."""
    position = 2 if op in ("split", "split_with_sizes", "chunk") else 1
    return int(args[position]) % dims if len(args) > position else 0


def _first(args: Sequence[Any]) -> Any:
    return next((a for a in args if hasattr(a, "tensor")), None)


def _axis(shape: Sequence[int], outer: int) -> int | None:
    found = find_axis(shape, outer)
    return None if found is None else found[0]


def _rows(args: Sequence[Any], op: str) -> int | None:
    """The rows of a product lie as those of its left operand; the bias of addmm stands before it."""
    left = args[1] if op == "addmm" else args[0]
    if left.outer is None or _axis(left.tensor.shape, left.outer) != 0:
        return None
    return int(left.outer)


def _reduced(shape: Sequence[int], outer: int, args: Sequence[Any], out: Tensor) -> int | None:
    found = find_axis(shape, outer)
    axes = args[1] if len(args) > 1 and args[1] is not None else []
    gone = {int(a) % len(shape) for a in (axes if isinstance(axes, list | tuple) else [axes])}
    if found is None or not gone or found[0] in gone:
        return None
    moved = found[0] - (sum(a < found[0] for a in gone) if len(out.shape) < len(shape) else 0)
    result = 1
    for size in out.shape[:moved]:
        result *= size
    return result * found[1]


def _elementwise(args: Sequence[Any], out: Tensor) -> int | None:
    for value in args:
        if getattr(value, "outer", None) is not None and value.tensor.dim() <= out.dim():
            found = after_broadcast(value.tensor.shape, value.outer, out.shape)
            if found is not None:
                return found
    return None


def _joined(op: str, args: Sequence[Any], out: Tensor, batch: int) -> int | None:
    known = next((v for v in args[0] if v.outer is not None), None)
    if known is None:
        return None
    axis = int(args[1]) % out.dim() if len(args) > 1 else 0
    found = find_axis(known.tensor.shape, known.outer)
    if found is None or (op == "cat" and found[0] == axis):
        return None
    moved = found[0] + (1 if op == "stack" and axis <= found[0] else 0)
    result = 1
    for size in out.shape[:moved]:
        result *= size
    return _checked(result * found[1], out, batch)


def _checked(outer: int | None, out: Tensor, batch: int) -> int | None:
    return outer if outer and out.numel() and out.numel() % (outer * batch) == 0 else None
