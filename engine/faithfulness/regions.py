"""A relevancy map and what is known to be the object, brought to one size; why a pair of them cannot be compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from engine.faithfulness.usable import why_unusable

PROTOCOL_SIZE = (224, 224)  # rows, columns; the authors resize picture and mask to it without keeping the aspect
ASPECT = 0.02  # so much may height / width of a mask differ from the picture's: sizes are whole pixels

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
Size = tuple[int, int]


class Unusable(Exception):
    """A sample that cannot be scored. `reason` is short, and the same for all samples with the same fault."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Pair:
    """One sample at one size [H, W]: the `relevancy` as given, where the `region` is, and which pixels `count`."""

    relevancy: Map
    region: Mask
    count: Mask


def paired(
    relevancy: NDArray[np.floating],
    mask: Mask | None,
    *,
    void: Mask | None = None,
    picture: Size | None = None,
    size: Size | None = PROTOCOL_SIZE,
) -> Pair:
    """Map, mask and void at `size`; the map bilinearly (half-pixel centres), masks by their nearest pixel.

    Args:
        relevancy: the map [h, w].
        mask: True on the object, [H, W]; void: True on pixels that count neither way, same shape.
        picture: height and width of what the map covers. A mask of another aspect does not belong to it.
        size: rows and columns at which both are compared; None: the mask's own.

    Raises `Unusable`: no mask, an empty one, one of another size, one that is void wherever it is not empty; and for
    the maps of `engine.faithfulness.usable`.
    """
    _check_map(relevancy)
    if mask is None:
        raise Unusable("no mask")
    if mask.ndim != 2 or 0 in mask.shape:
        raise Unusable("the mask has no two sides")
    if void is not None and void.shape != mask.shape:
        raise Unusable("mask and void pixels differ in size")
    if picture is not None and not same_aspect(mask.shape, picture):
        raise Unusable("mask of another size")
    target = (mask.shape[0], mask.shape[1]) if size is None else size
    region = nearest(mask, target)
    count = np.ones(target, bool) if void is None else ~nearest(void, target)
    if not (region & count).any():
        raise Unusable("empty mask")
    return Pair(upsampled(relevancy, target), region & count, count)


def same_aspect(shape: tuple[int, ...], picture: Size) -> bool:
    """Whether a mask of `shape` (rows, columns) can be one of a picture of that size: equal, or scaled as a whole."""
    ratio = (shape[0] / shape[1]) / (picture[0] / picture[1])
    slack = max(ASPECT, 1 / min(shape[0], shape[1]))  # one pixel more or less of a thumbnail is no other picture
    return tuple(shape) == tuple(picture) or abs(ratio - 1) <= slack


def upsampled(relevancy: NDArray[np.floating], size: Size) -> Map:
    """The map [h, w] at `size`, bilinear with half-pixel centres, as `F.interpolate` of the authors' scripts."""
    cells = torch.from_numpy(np.ascontiguousarray(relevancy, np.float32))[None, None]
    return F.interpolate(cells, size=size, mode="bilinear", align_corners=False)[0, 0].numpy()


def nearest(mask: Mask, size: Size) -> Mask:
    """The mask [H, W] at `size`: of every new pixel the old one under its centre, as Pillow's NEAREST."""
    if mask.shape == size:
        return mask
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(np.int64), old - 1)
        for old, new in zip(mask.shape, size, strict=True)
    )
    return mask[np.ix_(rows, columns)]


def box_mask(boxes: NDArray[np.floating], size: Size) -> Mask:
    """The pixels whose centres lie in any of the boxes [n, 4] (x0, y0, x1, y1 in pixels), [H, W]."""
    mask = np.zeros(size, bool)
    across, down = np.arange(size[1]) + 0.5, np.arange(size[0]) + 0.5
    for x0, y0, x1, y1 in boxes:
        mask |= ((down >= y0) & (down < y1))[:, None] & ((across >= x0) & (across < x1))[None, :]
    return mask


def _check_map(relevancy: NDArray[np.floating]) -> None:
    if relevancy.ndim != 2 or not relevancy.size:
        raise Unusable("the map is no grid")
    reason = why_unusable(np.reshape(relevancy, (1, -1)))[0]
    if reason is not None:
        raise Unusable(reason)
