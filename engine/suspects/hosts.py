"""Hosts: whether the photos that show a cue are otherwise alike.

An honest part comes with its object (combs with roosters), so its photos are alike where the model did not look; a mark
that somebody put on photos sits on any of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.suspects.candidate import Candidate
from engine.suspects.cues import center_of, directions
from engine.suspects.observations import NONE, Observations

MOST = 20_000  # photos that a mean is taken over


def cohesion(units: np.ndarray) -> float:
    """Mean cosine over all pairs of n vectors [n, D] of length 1 (or 0)."""
    count = len(units)
    if count < 2:
        return 0.0
    total = units.sum(axis=0, dtype=np.float64)
    own = float((units.astype(np.float64) ** 2).sum())
    return float((total @ total - own) / (count * (count - 1)))


class Hosts:
    """Compares the surroundings of photos: the mean state of the tokens that the model looked at least."""

    def __init__(self, seen: Observations) -> None:
        assert seen.rest is not None
        rest = seen.rest
        self.units = seen.kept("rest directions", (rest,), lambda: directions(rest, center_of(rest)))
        self._seen = seen
        self._of_class: dict[int, float] = {}

    def likeness(self, candidate: Candidate, among_all: bool = False) -> float:
        """Mean cosine between the surroundings of a candidate's photos, less that of all photos of its class, or of all
        photos."""
        number = NONE if among_all else candidate.class_index
        if number not in self._of_class:
            rows = slice(None) if among_all else self._seen.of_class(number)
            self._of_class[number] = cohesion(self.units[rows][:MOST])
        return cohesion(self.units[candidate.members[:MOST]]) - self._of_class[number]


def with_hosts(seen: Observations, candidates: list[Candidate], among_all: bool = False) -> list[Candidate]:
    """The candidates with "host_likeness" in their evidence, where the run has what it takes.

    With `among_all` their photos are compared with all photos: where the class is no more than the cue, all its photos
    may show it.
    """
    if seen.rest is None or not candidates:
        return candidates
    hosts = Hosts(seen)
    return [replace(c, evidence={**c.evidence, "host_likeness": hosts.likeness(c, among_all)}) for c in candidates]
