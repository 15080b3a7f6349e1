"""Random groups: what the score is worth without any method."""

from __future__ import annotations

import numpy as np

from benchmarks.spurious.slices import Slice
from benchmarks.spurious.subject import Subject

GROUPS, MEMBERS = 25, 20


def chance(subject: Subject) -> list[Slice]:
    """25 groups of up to 20 samples, each of one predicted class; the classes take turns."""
    rng = np.random.default_rng(len(subject))
    slices = []
    for turn in range(GROUPS):
        label = turn % len(subject.class_names)
        members = rng.permutation(np.flatnonzero(subject.predicted == label))[:MEMBERS]
        slices.append(Slice(label, tuple(int(m) for m in members), -float(turn), kind="random"))
    return slices
