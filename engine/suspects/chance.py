"""Chance: what the same pipeline finds when predictions are dealt out at random."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from engine.suspects.detectors import DETECTORS, detect
from engine.suspects.observations import Observations

PERMUTATIONS = 5
SAMPLES = 2000  # that a permuted run looks at, at least: searching all five times over would cost too much
PER_CLASS = 100  # ... and so many per class: with fewer than five photos a class cannot score at all


@dataclass(frozen=True)
class Chance:
    """Scores of candidates under no association.

    Attributes:
        scores: one array per permuted run and detector: `scores[kind][run]`, descending.
        permutations: number of permuted runs.
    """

    scores: dict[str, list[np.ndarray]]
    permutations: int

    def expected(self, kind: str, score: float) -> float:
        """Mean number of candidates of this kind that chance alone gives with at least this score."""
        runs = self.scores.get(kind, [])
        return float(np.mean([(run >= score).sum() for run in runs])) if runs else 0.0

    def highest(self, kind: str) -> float:
        """The highest score that chance gave to this kind."""
        return max((float(run[0]) for run in self.scores.get(kind, []) if len(run)), default=0.0)


def chance_of(
    seen: Observations,
    seed: int = 0,
    *,
    permutations: int = PERMUTATIONS,
    kinds: Iterable[str] | None = None,
    progress: Callable[[], None] | None = None,
) -> Chance:
    """Run all detectors on `permutations` copies with permuted predictions; `progress()` is called after each."""
    names = list(DETECTORS if kinds is None else kinds)
    scores: dict[str, list[np.ndarray]] = {name: [] for name in names}
    enough = max(SAMPLES, PER_CLASS * seen.classes)
    if len(seen) > enough:
        seen = seen.taken(np.sort(np.random.default_rng(seed).choice(len(seen), enough, replace=False)))
    for run in range(permutations):
        found = detect(seen.permuted(np.random.default_rng((seed, run))), seed, names)
        for name in names:
            scores[name].append(np.array([c.score for c in found if c.kind == name]))
        if progress is not None:
            progress()
    return Chance(scores, permutations)
