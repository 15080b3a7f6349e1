"""Where the samples of a batch lie in a tensor, followed through views, permutations and products.

Relevance is shared out per sample: a sum over "the whole tensor" is a sum over one sample. Most tensors keep their
samples on axis 0, but a flattened one may hold B * N rows, and torch's own multi-head attention works token-major.
The position is kept as ``outer``: how many blocks lie before the sample axis in row-major order. It survives a view
unchanged, because a tensor of shape [.., B, ..] is (outer, B, inner) however its axes are cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor


def find_axis(shape: Sequence[int], outer: int) -> tuple[int, int] | None:
    """Return the axis that holds the samples and how many blocks precede them within it."""
    before = 1
    for axis, size in enumerate(shape):
        if before * size > outer:
            return (axis, outer // before) if outer % before == 0 else None
        before *= size
    return None


def after_permute(shape: Sequence[int], outer: int, order: Sequence[int]) -> int | None:
    """``outer`` of ``x.permute(order)``."""
    found = find_axis(shape, outer)
    if found is None:
        return None
    new = [shape[i] for i in order]
    return math.prod(new[: list(order).index(found[0])]) * found[1]


def after_broadcast(shape: Sequence[int], outer: int, result: Sequence[int]) -> int | None:
    """``outer`` after an element-wise operation or ``expand`` with the given result shape."""
    found = find_axis(shape, outer)
    if found is None:
        return None
    axis = found[0] + len(result) - len(shape)
    return math.prod(result[:axis]) * found[1] if result[axis] == shape[found[0]] else None


def after_removal(shape: Sequence[int], outer: int, axis: int, result: Sequence[int]) -> int | None:
    """``outer`` after an operation that shortens, lengthens or removes ``axis``; None when it holds the samples."""
    found = find_axis(shape, outer)
    if found is None or found[0] == axis:
        return None
    moved = found[0] - (1 if axis < found[0] and len(result) < len(shape) else 0)
    return math.prod(result[:moved]) * found[1]


def per_sample(tensor: Tensor, outer: int, batch: int) -> Tensor:
    """View a tensor as [outer, B, inner]."""
    return tensor.reshape(outer, batch, -1)
