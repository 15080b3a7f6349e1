"""q, k and v as parts of one tensor, and its gradient put together without a detour.

Most models make them with one linear layer and look at its output from three sides. Autograd sends the gradient back
through each of these views: it stacks or adds up tensors of the whole size, and turns the result round. Where the three
make up all of what they are views of, their gradients may be written straight to their places.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """How three views of equal shape make up a contiguous tensor, each entry of it being in one of them.

    Attributes:
        shape: of the tensor.
        offsets: where each view begins in it.
        stride: theirs, all three being alike.
    """

    shape: torch.Size
    offsets: tuple[int, int, int]
    stride: tuple[int, ...]

    def gradient(self, *parts: Tensor) -> Tensor:
        """The gradient of the tensor, from those of q, k and v."""
        whole = parts[0].new_empty(self.shape)
        for offset, part in zip(self.offsets, parts, strict=True):
            whole.as_strided(part.shape, self.stride, offset).copy_(part)
        return whole


def unpacked(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Packing] | None:
    """What q, k and v are views of, with its graph; None where it is not one tensor, or has more in it."""
    whole = q._base
    if whole is None or k._base is not whole or v._base is not whole or not whole.is_contiguous():
        return None
    if not (q.shape == k.shape == v.shape and q.stride() == k.stride() == v.stride()):
        return None
    offsets = tuple(int(one.storage_offset() - whole.storage_offset()) for one in (q, k, v))
    step = offsets[1] - offsets[0]
    if offsets != (0, step, 2 * step) or 3 * q.numel() != whole.numel():
        return None
    dimensions = [(3, step), *zip(q.shape, q.stride(), strict=True)]
    return (whole, Packing(whole.shape, offsets, q.stride())) if _fills(dimensions) else None


def _fills(dimensions: list[tuple[int, int]]) -> bool:
    """Whether sizes and strides reach every place from 0 on exactly once."""
    places = 1
    for size, stride in sorted(((n, step) for n, step in dimensions if n > 1), key=lambda one: one[1]):
        if stride != places:
            return False
        places *= size
    return True
