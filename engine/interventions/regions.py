"""Regions: cells of the token grid as pixels, and control regions of the same size."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

TRIES = 40


def pixels_of(cells: np.ndarray, grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Cells [B, h * w] boolean as pixel masks [B, H, W] boolean; a pixel belongs to the cell its center lies in."""
    height, width = size
    rows = np.minimum((np.arange(height) + 0.5) * grid[0] // height, grid[0] - 1).astype(int)
    columns = np.minimum((np.arange(width) + 0.5) * grid[1] // width, grid[1] - 1).astype(int)
    board = cells.reshape(len(cells), *grid)
    return torch.from_numpy(np.ascontiguousarray(board[:, rows][:, :, columns]))


def control_cells(cells: np.ndarray, grid: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """As many other cells of the same picture, [h * w] boolean: the same shape elsewhere where it fits (it may go over
    an edge and come in at the opposite one), else at random.

    When more than half of the picture is the cue, the control is all that is left: smaller than the cue.
    """
    board = cells.reshape(grid)
    for _ in range(TRIES):
        moved = np.roll(board, (int(rng.integers(grid[0])), int(rng.integers(grid[1]))), axis=(0, 1))
        if not (moved & board).any():
            return moved.reshape(-1)
    free = np.flatnonzero(~cells)
    control = np.zeros_like(cells)
    control[rng.choice(free, min(int(cells.sum()), len(free)), replace=False)] = True
    return control
