"""Does the model rely on a planted cue? Pairs of twins with and without it tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.spurious.plant import Scenes
from benchmarks.spurious.subject import Subject, answer

ENOUGH = 0.2
MOST = 150
"""Twins per question, to save time."""


@dataclass(frozen=True)
class Reliance:
    """How a cue moves predictions.

    `called`: over samples of other classes, share called the cue's class with the cue minus share without. `flips`:
    over samples of the cue's class predicted right with the cue, share predicted something else without it.
    """

    called: float
    flips: float

    @property
    def relies(self) -> bool:
        """Whether one of both reaches 20 %."""
        return max(self.called, self.flips) >= ENOUGH


def _with_cue(twin: Subject, scenes: Scenes, cue: int, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Predictions on the chosen samples with the cue put on them."""
    samples = [scenes.paint(int(k), cue, rng)[0] for k in chosen]
    marked = np.stack(samples) if not twin.is_text else np.array(samples, object)
    return answer(twin.loaded, marked).argmax(1)


def measure_reliance(twin: Subject, scenes: Scenes, cue: int, class_index: int, seed: int) -> Reliance:
    """Put one cue on cue-free audit samples; `twin` holds the model's answers without it, in the scenes' order."""
    rng = np.random.default_rng((seed, cue, 4))
    others = rng.permutation(np.flatnonzero(twin.labels != class_index))[:MOST]
    own = rng.permutation(np.flatnonzero(twin.labels == class_index))[:MOST]
    moved = _with_cue(twin, scenes, cue, others, rng) == class_index
    right = _with_cue(twin, scenes, cue, own, rng) == class_index
    called = float(moved.mean() - (twin.predicted[others] == class_index).mean())
    flips = float((twin.predicted[own][right] != class_index).mean()) if right.any() else 0.0
    return Reliance(called, flips)
