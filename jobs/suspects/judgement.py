"""Judgement: from evidence to a status and to the cautious call `flagged`. One rule for all data; nothing is tuned."""

from __future__ import annotations

from engine.suspects import Candidate
from jobs.suspects.proof import Proof

STRONG = 0.15  # score from which a cue is more than one part of the object among others
DIVERSE = 0.07  # at most so much more alike than the class are the photos of a mark that sits on any of them
NEARER = 1.25  # times as near to the object as a random cell: up to here a cue is off the object
COVERED = 0.5  # share of a cue's cells that touch the object from which it is on the object in any case
FOOLED = 0.5  # share of the photos of other classes with the cue that a mark turns; a look-alike part turns fewer
ENOUGH = 5  # photos of other classes with the cue for that share to count
KINDS = ("concept", "location", "property")  # a word's host cannot be told apart from the word: people decide


def status_of(proof: Proof) -> str:
    """ "verified" when an intervention proves that the model uses the cue, "refuted" when all say that it does not,
    else "unverified"."""
    verdicts = [effect.verdict for effect in proof.effects.values()]
    if "verified" in verdicts:
        return "verified"
    return "refuted" if verdicts and all(verdict == "refuted" for verdict in verdicts) else "unverified"


def off_object(on_object: tuple[float, float]) -> bool:
    """Whether a cue lies no nearer to the object than random cells do: (share of its cells, share of all cells)."""
    share, usual = on_object
    return share <= NEARER * usual and share <= COVERED


def is_flagged(
    one: Candidate,
    status: str,
    on_object: tuple[float, float] | None,
    called: tuple[int, int],
    highest_by_chance: float,
) -> bool:
    """Whether a cue is probably spurious: the model truly uses it, it is beyond what chance gives, and it is off the
    object; or, where no object is known, it is strong, sits on photos that are otherwise diverse, and turns photos of
    other classes.

    `called` = (photos of other classes with the cue that are called the class, all photos of other classes with it).

    An honest part with one look is used as well; that is why being verified is not enough (docs/suspects.md).
    """
    if one.kind not in KINDS or status != "verified" or one.association <= highest_by_chance:
        return False
    if on_object is not None:
        return off_object(on_object) and one.score >= STRONG / 2
    fooled = called[1] < ENOUGH or called[0] >= FOOLED * called[1]
    return one.score >= STRONG and one.evidence.get("host_likeness", 1.0) <= DIVERSE and fooled
