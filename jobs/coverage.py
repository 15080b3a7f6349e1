"""How much of every token's cell is covered by an object: from masks and boxes to the token grid."""

from __future__ import annotations

import json

import numpy as np

View = tuple[float, float, float, float]  # x0, y0, x1, y1 as fractions of the upright picture's width and height
Grid = tuple[int, int]  # rows, columns


def cover_of_mask(mask: np.ndarray, view: View, grid: Grid) -> np.ndarray:
    """Covered share of each cell, float32 [rows, columns] in 0..1, of a bool mask [height, width].

    The area is exact, also where cells cut through pixels; what lies outside the picture is uncovered.
    """
    x0, y0, x1, y1 = view
    height, width = mask.shape
    down = _overlap(y0 * height, y1 * height, grid[0], height)  # [rows, height]
    across = _overlap(x0 * width, x1 * width, grid[1], width)  # [columns, width]
    return (down @ mask.astype(np.float32) @ across.T).clip(0, 1).astype(np.float32)


def cover_of_boxes(boxes: np.ndarray, size: tuple[int, int], view: View, grid: Grid) -> np.ndarray:
    """The same for boxes [n, 4] as x0, y0, x1, y1 in pixels of a picture of `size` (width, height).

    Inside a cell that several boxes only touch their shares are added up (at most to 1).
    """
    x0, y0, x1, y1 = view
    cells = np.zeros(grid, np.float64)
    for box in boxes:
        down = _shared(y0 * size[1], y1 * size[1], grid[0], box[1], box[3])
        across = _shared(x0 * size[0], x1 * size[0], grid[1], box[0], box[2])
        cells += np.outer(down, across)
    return cells.clip(0, 1).astype(np.float32)


def parse_boxes(text: str) -> np.ndarray:
    """Boxes [n, 4] from JSON: a list of [x0, y0, x1, y1], or one such box. Raises `ValueError`."""
    try:
        boxes = np.array(json.loads(text), dtype=np.float64)
    except (TypeError, OverflowError, RecursionError) as error:
        raise ValueError("boxes are no table of numbers") from error
    boxes = boxes.reshape(1, 4) if boxes.shape == (4,) else boxes
    if boxes.size == 0:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise ValueError("boxes are not a list of [x0, y0, x1, y1]")
    return boxes


def _edges(start: float, stop: float, cells: int) -> tuple[np.ndarray, np.ndarray]:
    edges = np.linspace(start, stop, cells + 1)
    return edges[:-1, None], edges[1:, None]


def _overlap(start: float, stop: float, cells: int, pixels: int) -> np.ndarray:
    """Share of each cell of start..stop that lies in each pixel: [cells, pixels], rows sum to 1 inside."""
    low, high = _edges(start, stop, cells)
    left = np.arange(pixels)[None, :]
    shared = np.minimum(high, left + 1) - np.maximum(low, left)
    return (shared.clip(0) / (high - low)).astype(np.float32)


def _shared(start: float, stop: float, cells: int, low: float, high: float) -> np.ndarray:
    """Share of each cell of start..stop that lies between `low` and `high`: [cells]."""
    left, right = _edges(start, stop, cells)
    return ((np.minimum(right, high) - np.maximum(left, low)).clip(0) / (right - left))[:, 0]
