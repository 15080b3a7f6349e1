"""Judgement on suspects of pairs: when one is probably a fault of the data or of the model."""

from __future__ import annotations

from engine.suspects import Candidate

FAULTS = ("pair_mismatch", "pair_mark")  # whatever else they are: the score does not say how well the caption fits
CUES = ("pair_cue", "pair_place", "pair_property")
STRONG = 0.3  # score from which a cue is more than what its word means: on the demo the sea has 0.29, a watermark 0.40
DIVERSE = 0.16  # at most so much more alike than all pictures are those with a mark; scenes are more alike than that


def is_flagged_pair(one: Candidate, status: str, highest_by_chance: float) -> bool:
    """Whether a suspect of pairs is probably spurious.

    Mismatches and marks that hold scores down are, once an intervention shows it. A cue that carries a word is when it
    is beyond chance, strong, and its pictures are otherwise diverse: what a word means comes with surroundings, a mark
    does not. Words alone are never flagged.
    """
    if status != "verified":
        return False
    if one.kind in FAULTS:
        return True
    diverse = one.evidence.get("host_likeness", 1.0) <= DIVERSE
    return one.kind in CUES and diverse and one.association > highest_by_chance and one.score >= STRONG
