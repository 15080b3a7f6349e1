"""A candidate: a cue that a detector proposes, with the samples that lean on it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.suspects.cues import Cue, PropertyCue, WordedCue

FEWEST = 5
"""Photos that a candidate must be seen in: with fewer, chance produces too many."""

TOGETHER = 0.5
"""Share of the smaller candidate's photos that must be the other's for both to be seen in the same photos."""


@dataclass(frozen=True)
class Candidate:
    """One proposed cue.

    Attributes:
        kind: name of the detector.
        class_index: the class whose predictions it goes with.
        members: rows of samples predicted as that class that show the cue, strongest first.
        strength: how strongly each member shows it, in the detector's own unit.
        elsewhere: rows of samples predicted as another class that show it; a sample of them where that is stated.
        score: 0..1, larger is more suspicious; comparable between detectors by `expected` of the permuted runs.
        cue: how to find it again.
        evidence: the numbers behind the score.
        association: the score before the ranking discounted what others have accounted for; what chance is compared to.
        also: what other detectors, or other properties, say of the same photos (filled in by the ranking).
    """

    kind: str
    class_index: int
    members: np.ndarray
    strength: np.ndarray
    elsewhere: np.ndarray
    score: float
    cue: Cue
    evidence: dict[str, float] = field(default_factory=dict)
    also: tuple[Candidate, ...] = ()
    association: float = float("nan")

    def __post_init__(self) -> None:
        """Remember the score before any ranking takes from it."""
        if np.isnan(self.association):
            object.__setattr__(self, "association", self.score)

    @property
    def testable(self) -> bool:
        """Whether an intervention can change the cue: no picture's metadata can be changed for the model to see."""
        cue = self.cue.cue if isinstance(self.cue, WordedCue) else self.cue
        return not isinstance(cue, PropertyCue) or cue.measured


def same_photos(one: Candidate, other: Candidate) -> bool:
    """Whether two candidates of one detector are seen in the same photos, so that they may be parts of one cue."""
    shared = len(np.intersect1d(one.members, other.members, assume_unique=True))
    return shared >= TOGETHER * min(len(one.members), len(other.members))


def adjusted_purity(inside: float, outside: float, base: float) -> float:
    """Share of a cue's photos that are predicted as the class, corrected for chance: 0 at the class's base rate, 1 when
    all are. As Cohen's kappa corrects agreement: (p - base) / (1 - base).

    Args:
        inside: photos with the cue that are predicted as the class.
        outside: photos with the cue that are predicted otherwise.
        base: share of the class among all predictions.
    """
    if inside + outside <= 0 or base >= 1:
        return 0.0
    return max(0.0, (inside / (inside + outside) - base) / (1 - base))


def reach(members: int, of_class: int) -> float:
    """How much of the class a cue explains, on a scale of orders of magnitude: ln n / ln N, 0..1. It does not grow with
    the dataset, and a cue in a tenth of a class still counts for much."""
    return float(np.log(max(members, 1)) / np.log(max(of_class, members, 2)))
