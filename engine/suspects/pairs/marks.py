"""Marks: things in the pictures that hold scores down, such as a banner with another word."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.suspects.candidate import Candidate
from engine.suspects.concept import detect_concepts
from engine.suspects.cues import ConceptCue
from engine.suspects.hosts import with_hosts
from engine.suspects.observations import Observations

KIND = "pair_mark"
LOW = 0.25  # of the pairs: their scores are low


def mark_candidates(against: Observations, sides: np.ndarray, seed: int = 0) -> list[Candidate]:
    """Alike patches that count against the scores of pairs with low scores, highest score first.

    Args:
        against: maps and patches of N pairs, made with the target "against" (``engine.explain_pairs``).
        sides: 0 for pairs whose scores are low, 1 for others, -1 for those that do not belong together, [N]: these say
            nothing of marks, but may show one.
        seed: of every random choice.

    Members are all pairs that show such patches, also those whose score is high in spite of them; the most alike first.
    """
    two = replace(against, predicted=sides.astype(np.int64), classes=1)
    found = with_hosts(two, detect_concepts(two, np.random.default_rng(seed)))
    return sorted((_whole(one, two) for one in found), key=lambda one: -one.score)


def _whole(one: Candidate, seen: Observations) -> Candidate:
    """The candidate with all its look-alikes as members."""
    assert seen.patches is not None and isinstance(one.cue, ConceptCue)
    strongest = replace(one.cue, prototypes=one.cue.prototypes[:1])  # the others are its parts, and less telling
    every = strongest.likeness(seen.patches).max(axis=1)
    rows = np.flatnonzero(every >= one.cue.cut)
    likeness = every[rows]
    order = np.argsort(-likeness, kind="stable")
    return replace(
        one,
        kind=KIND,
        class_index=-1,
        members=rows[order],
        strength=likeness[order],
        elsewhere=np.zeros(0, np.int64),
        evidence={**one.evidence, "low": len(one.members)},
    )
