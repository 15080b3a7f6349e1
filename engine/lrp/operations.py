"""How relevance passes each ATen operation: one function per operation, in terms of the rules of a propagation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engine.capture.kernel import wide
from engine.errors import UnsupportedModel
from engine.lrp import rules
from engine.lrp.follow import axis_of
from engine.lrp.tape import POINTWISE, Node, Value

if TYPE_CHECKING:
    from engine.lrp.propagate import Propagation


def _pointwise(walk: Propagation, node: Node) -> None:
    walk.send(node.inputs[0], walk.relevance(node))


def _softmax(walk: Propagation, node: Node) -> None:
    out = node.outputs[0]
    assert out is not None
    x = node.inputs[0]
    walk.send(x, walk.softmax(walk.relevance(node), wide(x.tensor), wide(out.tensor)))


def _native_layer_norm(walk: Propagation, node: Node) -> None:
    walk.send(node.inputs[0], walk.layer_norm(node, walk.relevance(node)))


def _addmm(walk: Propagation, node: Node) -> None:
    bias, x, weight = node.args[:3]
    _matrix_product(walk, node, x, weight, bias)


def _mm(walk: Propagation, node: Node) -> None:
    # where its input is not contiguous, torch takes a linear layer apart into a product and a sum
    _matrix_product(walk, node, node.args[0], node.args[1], walk.biases.get(node))


def _matrix_product(walk: Propagation, node: Node, a: Value, b: Value, bias: Value | None) -> None:
    relevance, left, right = walk.relevance(node), wide(a.tensor), wide(b.tensor)
    if walk.is_weight(b) and a not in walk.maps:
        walk.send(a, walk.linear(node, relevance, left, right, None if bias is None else wide(bias.tensor)))
    elif walk.is_weight(a) and b not in walk.maps:
        walk.send(b, walk.linear(node, relevance.mT, right.mT, left.mT, None).mT)
    else:
        for value, share in zip((a, b), walk.product(relevance, left, right), strict=True):
            walk.send(value, share)


def _add(walk: Propagation, node: Node) -> None:
    relevance, out, (a, b) = walk.relevance(node), node.outputs[0], node.args[:2]
    assert out is not None
    if not isinstance(b, Value) or out.origin is not None:
        walk.send(a if out.origin is None else out.origin, relevance)
        return
    if not isinstance(a, Value) or walk.gets_nothing(a, out):
        walk.send(b, relevance if b.tensor.shape == out.tensor.shape else relevance.sum_to_size(b.tensor.shape))
    elif walk.gets_nothing(b, out):
        walk.send(a, relevance)
    else:
        factor = node.kwargs.get("alpha", 1) * (-1 if node.op == "sub" else 1)
        x, y = (wide(v.tensor).expand_as(out.tensor) for v in (a, b))
        for value, share in zip((a, b), walk.add(node, relevance, x, y * factor), strict=True):
            walk.send(value, share.sum_to_size(value.tensor.shape))


def _mul(walk: Propagation, node: Node) -> None:
    relevance, out, (a, b) = walk.relevance(node), node.outputs[0], node.args[:2]
    assert out is not None
    factors = [v for v in (a, b) if isinstance(v, Value) and v in walk.needed]
    full = [v for v in factors if v.tensor.shape == out.tensor.shape]
    if out.origin is not None and len(factors) == 2:
        walk.send(out.origin, relevance)  # x * gate(x) is one element-wise function of x
    elif len(factors) == 1 or len(full) == 1:
        value = (full or factors)[0]  # a factor that is broadcast is a statistic: it scales
        walk.send(value, relevance.sum_to_size(value.tensor.shape))
    else:
        for value in factors:
            walk.send(value, walk.gate(relevance).sum_to_size(value.tensor.shape))


def _div(walk: Propagation, node: Node) -> None:
    walk.send(node.args[0], walk.relevance(node).sum_to_size(node.args[0].tensor.shape))


def _expand(walk: Propagation, node: Node) -> None:
    x = node.inputs[0]
    walk.send(x, walk.relevance(node).sum_to_size(x.tensor.shape))


def _sum(walk: Propagation, node: Node) -> None:
    x, out = node.inputs[0], node.outputs[0]
    assert out is not None
    dims = x.tensor.dim()
    axes = [a % dims for a in (node.args[1] if len(node.args) > 1 and node.args[1] else range(dims))]
    kept = [1 if i in axes else n for i, n in enumerate(x.tensor.shape)]
    relevance = walk.relevance(node).reshape(kept)
    maker = walk.producer.get(x)
    factors = [v for v in maker.inputs if v in walk.needed] if maker and maker.op == "mul" else []
    if len(factors) == 2 and axes == [dims - 1] and x.origin is None:
        for one, other in (factors, factors[::-1]):  # each tower sees the other's embedding as its weights
            walk.send(one, walk.dot(relevance, wide(one.tensor), wide(other.tensor)))
        return
    values = wide(x.tensor)
    walk.send(x, walk.mean(relevance, values, values.sum(dim=axes, keepdim=True)))


def _select(walk: Propagation, node: Node) -> None:
    x, axis, index = node.inputs[0], node.args[1], node.args[2]
    back = torch.zeros_like(wide(x.tensor))
    back.select(axis, index).copy_(_put_back(walk, node))
    walk.send(x, walk.weighed(back, x))


def _gather(walk: Propagation, node: Node) -> None:
    x, axis, index = node.args[0], node.args[1], node.args[2].tensor
    back = torch.zeros_like(wide(x.tensor)).scatter_add_(axis, index, _put_back(walk, node))
    walk.send(x, walk.weighed(back, x))


def _index(walk: Propagation, node: Node) -> None:
    x, indices = node.args[0], [None if i is None else i.tensor for i in node.args[1]]
    back = torch.zeros_like(wide(x.tensor))
    back.index_put_(indices, _put_back(walk, node), accumulate=True)
    walk.send(x, walk.weighed(back, x))


def _put_back(walk: Propagation, node: Node) -> Tensor:
    out = node.outputs[0]
    assert out is not None
    return walk.picked(walk.relevance(node), wide(out.tensor))


def _slice(walk: Propagation, node: Node) -> None:
    x, arguments = node.inputs[0], list(node.args[1:])
    axis, first, last, step = (arguments + [0, None, None, 1][len(arguments) :])[:4]
    index: list[Any] = [slice(None)] * x.tensor.dim()
    index[axis] = slice(first, last, step)
    back = torch.zeros_like(wide(x.tensor))
    back[tuple(index)] = walk.relevance(node)
    walk.send(x, back)


def _unbind(walk: Propagation, node: Node) -> None:
    parts = [_part(walk, v) for v in node.outputs if v is not None]
    walk.send(node.inputs[0], torch.stack(parts, dim=axis_of(node.op, node.args, node.inputs[0].tensor.dim())))


def _split(walk: Propagation, node: Node) -> None:
    parts = [_part(walk, v) for v in node.outputs if v is not None]
    walk.send(node.inputs[0], torch.cat(parts, dim=axis_of(node.op, node.args, node.inputs[0].tensor.dim())))


def _part(walk: Propagation, value: Value) -> Tensor:
    return walk.combined(value) if value in walk.arrived else torch.zeros_like(wide(value.tensor))


def _cat(walk: Propagation, node: Node) -> None:
    axis = int(node.args[1]) if len(node.args) > 1 else 0
    values = [v for v in node.args[0] if v.tensor.numel()]
    parts = walk.relevance(node).split([v.tensor.shape[axis] for v in values], dim=axis)
    for value, part in zip(values, parts, strict=True):
        walk.send(value, part)


def _stack(walk: Propagation, node: Node) -> None:
    axis = int(node.args[1]) if len(node.args) > 1 else 0
    for value, part in zip(node.args[0], walk.relevance(node).unbind(axis), strict=True):
        walk.send(value, part)


def _roll(walk: Propagation, node: Node) -> None:
    back = [-shift for shift in node.args[1]]
    axes = node.args[2] if len(node.args) > 2 else ()
    walk.send(node.args[0], torch.roll(walk.relevance(node), back, axes))


def _flip(walk: Propagation, node: Node) -> None:
    walk.send(node.args[0], walk.relevance(node).flip(node.args[1]))


def _where(walk: Propagation, node: Node) -> None:
    chosen, relevance = node.args[0].tensor, walk.relevance(node)
    for value, mine in zip(node.args[1:], (chosen, ~chosen), strict=True):
        if isinstance(value, Value):
            walk.send(value, torch.where(mine, relevance, 0.0).sum_to_size(value.tensor.shape))


def _masked_fill(walk: Propagation, node: Node) -> None:
    walk.send(node.args[0], walk.relevance(node).masked_fill(node.args[1].tensor, 0.0))


def _convolution(walk: Propagation, node: Node) -> None:
    x, weight, _, stride, padding, dilation, transposed, _, groups = node.args
    if x not in walk.wanted or transposed or groups != 1 or set(dilation) != {1} or x.tensor.dim() != 4:
        raise UnsupportedModel(
            "LRP to the pixels is defined for one convolution that cuts the image into patches; "
            "this model has a convolution that is none"
        )
    walk.send(x, rules.z_box(walk.relevance(node), wide(x.tensor), wide(weight.tensor), stride, padding))


Operation = Callable[["Propagation", Node], None]

OPERATIONS: dict[str, Operation] = {
    **dict.fromkeys(POINTWISE, _pointwise),
    "_softmax": _softmax,
    "native_layer_norm": _native_layer_norm,
    "addmm": _addmm,
    "mm": _mm,
    "add": _add,
    "mul": _mul,
    "div": _div,
    "expand": _expand,
    "sum": _sum,
    "select": _select,
    "gather": _gather,
    "index": _index,
    "slice": _slice,
    "unbind": _unbind,
    "split": _split,
    "cat": _cat,
    "stack": _stack,
    "roll": _roll,
    "flip": _flip,
    "where": _where,
    "masked_fill": _masked_fill,
    "convolution": _convolution,
    "_fused_rms_norm": _pointwise,
    "bmm": _mm,
    "sub": _add,
    "mean": _sum,
    "split_with_sizes": _split,
    "chunk": _split,
}
"""Operation by its ATen name. Views and copies are not listed: the walk sees through them."""
