"""Ranking: candidates in the order in which they deserve a person's minute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from engine.suspects.candidate import Candidate

ALREADY = 0.75  # of the score is lost by a candidate whose photos all belong to a suspect above it
SAME_PHOTOS = 0.5  # Jaccard index from which two views are of the same suspect
UNTESTABLE = 0.5  # times the score: what nobody can test waits until what can be tested was looked at


def ranked(candidates: Sequence[Candidate], top: int | None = None) -> list[Candidate]:
    """The candidates, best first, each with the score it has beside those above it.

    Photos that a suspect of the same class above has already accounted for count for a quarter: in a class where nine
    photos of ten carry a frame, every honest part goes with framed photos too. Another detector's view of the same
    photos is not listed again but kept with the suspect (``Candidate.also``).
    """
    pool = [replace(c, score=c.score * (1 if c.testable else UNTESTABLE)) for c in candidates]
    scores = np.array([candidate.score for candidate in pool])
    classes = np.array([candidate.class_index for candidate in pool])
    taken: dict[int, np.ndarray] = {}
    chosen: list[Candidate] = []
    for _ in pool:
        best = int(np.argmax(scores))
        candidate = replace(pool[best], score=float(scores[best]))
        scores[best] = -np.inf  # done
        home = next((k for k, other in enumerate(chosen) if same_view(candidate, other)), None)
        if home is not None:
            chosen[home] = replace(chosen[home], also=(*chosen[home].also, candidate))
        elif top is None or len(chosen) < top:
            chosen.append(candidate)
            number = candidate.class_index
            taken[number] = np.union1d(taken.get(number, np.array([], np.int64)), candidate.members)
            for k in np.flatnonzero((classes == number) & (scores > -np.inf)):
                scores[k] = pool[k].score * (1 - ALREADY * float(np.isin(pool[k].members, taken[number]).mean()))
    return chosen


def same_view(one: Candidate, other: Candidate) -> bool:
    """Whether two detectors, or two properties, speak of the same photos of the same class."""
    if one.class_index != other.class_index or (one.kind == other.kind != "property"):
        return False
    shared = len(np.intersect1d(one.members, other.members))
    return shared >= SAME_PHOTOS * (len(one.members) + len(other.members) - shared)
