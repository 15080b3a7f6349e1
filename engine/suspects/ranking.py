"""Ranking: candidates in the order in which they deserve a person's minute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from engine.suspects.candidate import Candidate

ALREADY = 0.75  # of the score is lost by a candidate whose photos all belong to a suspect above it
SAME_PHOTOS = 0.5  # Jaccard index from which a property or a place is another view of a suspect above it


def ranked(candidates: Sequence[Candidate], top: int | None = None) -> list[Candidate]:
    """The candidates, best first, each with the score it has beside those above it.

    Photos that a suspect of the same class above has already accounted for count for a quarter: in a class where nine
    photos of ten carry a frame, every honest part goes with framed photos too. Another detector's view of the same
    photos is not listed again but noted as evidence ("seen_as").
    """
    waiting = sorted(candidates, key=lambda candidate: -candidate.score)
    taken: dict[int, np.ndarray] = {}
    chosen: list[Candidate] = []
    while waiting and (top is None or len(chosen) < top):
        scores = [candidate.score * (1 - ALREADY * _overlap(candidate, taken)) for candidate in waiting]
        best = int(np.argmax(scores))
        candidate = replace(waiting.pop(best), score=float(scores[best]))
        if any(same_view(candidate, other) for other in chosen):
            continue
        chosen.append(candidate)
        known = taken.get(candidate.class_index, np.array([], np.int64))
        taken[candidate.class_index] = np.union1d(known, candidate.members)
    return chosen


def same_view(one: Candidate, other: Candidate) -> bool:
    """Whether two detectors speak of the same photos of the same class."""
    if one.class_index != other.class_index or one.kind == other.kind:
        return False
    shared = len(np.intersect1d(one.members, other.members))
    return shared >= SAME_PHOTOS * (len(one.members) + len(other.members) - shared)


def _overlap(candidate: Candidate, taken: dict[int, np.ndarray]) -> float:
    known = taken.get(candidate.class_index)
    return 0.0 if known is None else float(np.isin(candidate.members, known).mean())
