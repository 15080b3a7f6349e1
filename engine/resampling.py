"""Resampling of pictures held in numpy, [3, H, W]: a matrix for the rows and one for the columns."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    """The picture [3, H, W] with a long side of `side` pixels, [3, h, w]; the same array where it has that already."""
    height, width = picture.shape[1:]
    long = max(height, width)
    if long == side:
        return picture
    down, across = (weights(size, max(1, round(size * side / long))) for size in (height, width))
    return both_ways(down, picture, across)


@lru_cache(maxsize=32)
def weights(old: int, new: int) -> np.ndarray:
    """Weights [new, old] that take a line of `old` pixels to `new`: linear, as wide as the pixels that become one."""
    scale = old / new
    centers = (np.arange(new) + 0.5) * scale
    distance = np.abs(np.arange(old) + 0.5 - centers[:, None]) / max(scale, 1.0)
    near = np.maximum(1 - distance, 0)
    return (near / near.sum(axis=1, keepdims=True)).astype(np.float32)


def both_ways(down: np.ndarray, picture: np.ndarray, across: np.ndarray) -> np.ndarray:
    """down [h, H] and across [w, W] applied to the columns and rows of a picture [3, H, W] -> [3, h, w]."""
    return np.matmul(down, np.matmul(picture, across.T))
