"""What the logs hold. Every line has an id; over all logs together ids grow in the order of writing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

REVIEWS_SCHEMA_VERSION = 1
VERDICTS = ("core feature", "spurious", "unsure")
ROLES = ("reader", "reviewer", "admin")


@dataclass(frozen=True)
class Entry:
    """A line of the verdict log.

    Attributes:
        id: grows in the order of writing, with gaps.
        at: UTC, by the clock of the machine that wrote it.
        verdict: one of VERDICTS, or "" when this line takes an earlier one back.
        takes_back: id of the line that this one takes back, else None.
    """

    id: int
    at: datetime
    run: str
    suspect: str
    reviewer: str
    verdict: str
    note: str
    takes_back: int | None


@dataclass(frozen=True)
class SavedView:
    """A page with its filters under a name; `params` is the query string of its address."""

    id: int
    at: datetime
    reviewer: str
    name: str
    page: str
    params: str


@dataclass(frozen=True)
class TagChange:
    """A line of the tag log: `samples` samples of a run got a tag (`added`) or lost it."""

    id: int
    at: datetime
    run: str
    tag: str
    reviewer: str
    added: bool
    samples: int


@dataclass(frozen=True)
class Member:
    """A person with a role (one of ROLES) and who gave it when."""

    id: int
    at: datetime
    person: str
    role: str
    by: str


def team_verdict(entries: Sequence[Entry]) -> str:
    """The verdict of the standing entries of one suspect: "" for none, the verdict when all agree, else "split"."""
    given = {entry.verdict for entry in entries}
    if not given:
        return ""
    return given.pop() if len(given) == 1 else "split"
