"""Removal and transplant of a cue's region in pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from engine.interventions.effect import Effect, effect_of
from engine.interventions.fills import FILLS
from engine.interventions.regions import control_cells, pixels_of

Score = Callable[[Tensor], np.ndarray]
"""Model inputs [B, 3, H, W] -> class probabilities [B, C]."""


def remove(
    images: Tensor, cells: np.ndarray, grid: tuple[int, int], number: int, score: Score, rng: np.random.Generator
) -> Effect:
    """Fall of p(class) when the cue's cells are removed, against as many other cells of the same pictures.

    Args:
        images: model inputs [n, 3, H, W] that are predicted as the class.
        cells: the cue's cells of each picture, [n, h * w] boolean.
        grid: rows and columns of the cells.
        number: the class.
        score: the model.
        rng: places the control regions.

    Each region is filled in three ways (``engine.interventions.fills``); effects are means over them.
    """
    controls = np.stack([control_cells(own, grid, rng) for own in cells])
    size = (images.shape[-2], images.shape[-1])
    before = score(images)
    falls, flips = [], []
    for region in (cells, controls):
        removed = pixels_of(region, grid, size).to(images.device)
        after = np.stack([score(fill(images, removed)) for fill in FILLS.values()])
        falls.append((before[:, number] - after[..., number]).mean(axis=0))
        left = (before.argmax(axis=1) == number) & (after.argmax(axis=2) != number)
        flips.append(left.mean(axis=0))
    return effect_of(falls[0], falls[1], flips[0], flips[1])


def transplant(
    donors: Tensor,
    cells: np.ndarray,
    hosts: Tensor,
    grid: tuple[int, int],
    number: int,
    score: Score,
    rng: np.random.Generator,
) -> Effect:
    """Rise of p(class) when the cue's cells of donors are pasted into hosts at the same place, against as many other
    cells of the same donors.

    Args:
        donors: model inputs [n, 3, H, W] with the cue.
        cells: the cue's cells of each donor, [n, h * w] boolean.
        hosts: model inputs [n, 3, H, W] of pictures that are predicted as other classes and lack the cue.
        grid, number, score, rng: as in :func:`remove`.
    """
    controls = np.stack([control_cells(own, grid, rng) for own in cells])
    size = (donors.shape[-2], donors.shape[-1])
    before = score(hosts)
    rises, flips = [], []
    for region in (cells, controls):
        pasted = pixels_of(region, grid, size).to(donors.device)
        after = score(torch.where(pasted[:, None], donors, hosts))
        rises.append(after[:, number] - before[:, number])
        flips.append((before.argmax(axis=1) != number) & (after.argmax(axis=1) == number))
    return effect_of(rises[0], rises[1], flips[0], flips[1])
