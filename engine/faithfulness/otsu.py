"""Otsu's threshold: the cut of a grey picture's histogram that leaves the least variance within the two sides.

N. Otsu, A threshold selection method from gray-level histograms (1979). The authors of GAE make their masks of DETR's
maps with it (`DETR/mask_generator.py`): min-max, to 8 bits, `cv2.THRESH_OTSU`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVELS = 256


def otsu_threshold(levels: NDArray[np.uint8]) -> int:
    """The threshold t of 8-bit values of any shape; what is above it (> t) is one side.

    Where several cuts are equally good, the lowest is taken, as OpenCV does. Values that are all the same, and no
    values at all, have no two sides: 0.
    """
    counts = np.bincount(levels.ravel(), minlength=LEVELS).astype(np.float64)
    total = counts.sum()
    if not total:
        return 0
    below = counts.cumsum()
    above = total - below
    sums = (counts * np.arange(LEVELS)).cumsum()
    both = (below > 0) & (above > 0)
    if not both.any():
        return 0
    apart = np.zeros(LEVELS)
    low, high = sums[both] / below[both], (sums[-1] - sums[both]) / above[both]
    apart[both] = below[both] * above[both] * (low - high) ** 2 / total**2
    return int(np.argmax(np.isclose(apart, apart.max(), rtol=1e-12, atol=0)))


def to_levels(relevancy: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A map of any shape as 8-bit values: min-max to 0..255, cut off (not rounded), as the authors do.

    A map without two different finite values is all 0.
    """
    low, high = relevancy.min(), relevancy.max()
    if not np.isfinite(high - low) or high == low:
        return np.zeros(relevancy.shape, np.uint8)
    return ((relevancy - low) / (high - low) * 255).astype(np.uint8)


def otsu_mask(relevancy: NDArray[np.floating]) -> NDArray[np.bool_]:
    """True where a map lies above its own Otsu threshold, same shape. All False for a map of one value or with NaN."""
    levels = to_levels(relevancy)
    mask: NDArray[np.bool_] = levels > otsu_threshold(levels)
    return mask
