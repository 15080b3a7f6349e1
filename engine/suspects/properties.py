"""Detector `property`: something about the whole sample (brightness, tint, size, a metadata column) that goes with one
class. Relevancy maps cannot show such cues: they lie everywhere."""

from __future__ import annotations

import numpy as np

from engine.suspects.candidate import FEWEST, Candidate, adjusted_purity, reach
from engine.suspects.cues import PropertyCue
from engine.suspects.observations import NONE, Observations, Property

STEPS = 19  # quantiles 5 % to 95 % that a tail may begin at
SCALE = 0.4  # a perfect property scores like a perfect concept: cohesion x sqrt(relevancy share) is about 0.4 there
CATEGORIES = 50  # a column with more values is an identifier, not a property


def detect_properties(seen: Observations, rng: np.random.Generator) -> list[Candidate]:
    """Propose, per class and property, the tail or the category that separates its predictions best."""
    found: list[Candidate] = []
    for name, one in seen.properties.items():
        for number in range(seen.classes):
            own = seen.of_class(number)
            if len(own) < FEWEST or len(own) == len(seen):
                continue
            best = max(_sides(seen, name, one, number), key=lambda c: c.score, default=None)
            if best is not None and best.score > 0:
                found.append(best)
    return found


def _sides(seen: Observations, name: str, one: Property, number: int) -> list[Candidate]:
    if one.names is not None:
        if len(one.names) > CATEGORIES:
            return []
        return [
            candidate
            for category, label in enumerate(one.names)
            for candidate in _of_rows(seen, number, one.values == category, PropertyCue(name, category=label))
        ]
    known = np.isfinite(one.values)
    if not known.any():
        return []
    cuts = np.unique(np.quantile(one.values[known], np.linspace(0.05, 0.95, STEPS)))
    if len(cuts) < 2:
        return []
    tails = [(one.values >= cut, PropertyCue(name, low=float(cut), measured=one.measured)) for cut in cuts]
    tails += [(one.values <= cut, PropertyCue(name, high=float(cut), measured=one.measured)) for cut in cuts]
    return [candidate for rows, cue in tails for candidate in _of_rows(seen, number, rows & known, cue, one.values)]


def _of_rows(
    seen: Observations, number: int, here: np.ndarray, cue: PropertyCue, values: np.ndarray | None = None
) -> list[Candidate]:
    """The candidate of the samples [N] boolean that show a property."""
    own = seen.predicted == number
    known = seen.predicted != NONE
    members = np.flatnonzero(here & own)
    if len(members) < FEWEST:
        return []
    elsewhere = np.flatnonzero(here & known & ~own)
    coverage, false_rate = len(members) / own.sum(), len(elsewhere) / max((known & ~own).sum(), 1)
    purity = adjusted_purity(len(members), len(elsewhere), own.sum() / known.sum())
    separation = max(coverage - false_rate, 0.0)
    strength = np.ones(len(members))
    if values is not None:
        strength = values[members] if cue.low is not None else -values[members]
        order = np.argsort(-strength, kind="stable")
        members, strength = members[order], strength[order]
    return [
        Candidate(
            kind="property",
            class_index=number,
            members=members,
            strength=strength,
            elsewhere=elsewhere,
            score=float(SCALE * purity * np.sqrt(separation) * reach(len(members), int(own.sum()))),
            cue=cue,
            evidence={
                "purity": len(members) / (len(members) + len(elsewhere)),
                "adjusted_purity": purity,
                "separation": float(separation),
                "coverage": float(coverage),
            },
        )
    ]
