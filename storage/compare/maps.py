"""Maps on different grids: brought to the coarser one, and compared there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def resampled_similarity(a: Floats, b: Floats) -> float | None:
    """Cosine similarity of two maps [h, w], both brought to the smaller of their heights and widths by mean of areas.

    None when one of them is zero everywhere.
    """
    rows, columns = min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1])
    x, y = (_resized(side, rows, columns).ravel() for side in (a, b))
    length = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / length if length > 0 and np.isfinite(length) else None


def _resized(values: Floats, rows: int, columns: int) -> NDArray[np.float64]:
    """A map [h, w] as [rows, columns]: every cell is the mean of the area it covers."""
    height, width = values.shape
    return _areas(height, rows) @ np.asarray(values, dtype=np.float64) @ _areas(width, columns).T


def _areas(old: int, new: int) -> NDArray[np.float64]:
    """[new, old]: the share of every new cell that lies in every old cell, along one side."""
    edges, cells = np.arange(new + 1) * old / new, np.arange(old)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    return np.clip(overlap, 0, None) * new / old
