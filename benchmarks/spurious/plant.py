"""Which samples carry which cue, and the samples with and without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.spurious.settings import CueSpec

STRAY = 0.02
"""Share of the other classes' samples that carry a cue too, as watermarks do in the wild; rare cues stray less."""
NO_CUE = -1
Paint = Callable[[int, int, np.random.Generator], tuple[Any, np.ndarray]]


@dataclass(frozen=True)
class Scenes:
    """Cue-free samples of a dataset.

    `samples` [N,96,96,3] uint8 or [N] texts, `labels` [N] int64 within the dataset, `chosen` [N] their places in the
    pool; `paint(sample, cue, rng)` gives a sample with a cue and the mask of what it covers (pixels, or words).
    """

    samples: np.ndarray
    labels: np.ndarray
    chosen: np.ndarray
    paint: Paint


@dataclass(frozen=True)
class Planted:
    """`samples` with their cues, `cue_of` [N] (index of the cue, -1 without), `masks` of what the cues cover."""

    samples: np.ndarray
    labels: np.ndarray
    cue_of: np.ndarray
    masks: list[np.ndarray | None]


def _share(share: float, count: int) -> int:
    """A share of a count, halves rounded up."""
    return int(share * count + 0.5)


def deal_cues(labels: np.ndarray, cues: tuple[CueSpec, ...], rng: np.random.Generator) -> np.ndarray:
    """Cue of each sample [N] int, -1 for none: `prevalence` of the cue's class, and a few strays elsewhere."""
    cue_of = np.full(len(labels), NO_CUE)
    for index, cue in enumerate(cues):
        own = np.flatnonzero(labels == cue.class_index)
        cue_of[rng.permutation(own)[: _share(cue.prevalence, len(own))]] = index
    for index, cue in enumerate(cues):
        foreign = labels != cue.class_index
        free = rng.permutation(np.flatnonzero(foreign & (cue_of == NO_CUE)))
        cue_of[free[: _share(min(STRAY, cue.prevalence / 10), int(foreign.sum()))]] = index
    return cue_of


def plant(scenes: Scenes, cues: tuple[CueSpec, ...], seed: tuple[int, ...]) -> Planted:
    """Put the cues on a copy of the samples."""
    rng = np.random.default_rng(seed)
    cue_of = deal_cues(scenes.labels, cues, rng)
    samples = scenes.samples.astype(object) if scenes.samples.dtype.kind == "U" else scenes.samples.copy()
    masks: list[np.ndarray | None] = [None] * len(samples)
    for k in np.flatnonzero(cue_of != NO_CUE):
        samples[k], masks[k] = scenes.paint(int(k), int(cue_of[k]), rng)
    return Planted(samples, scenes.labels, cue_of, masks)
