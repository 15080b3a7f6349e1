"""Which suspects are listed: the choices of the filters, what they keep, and where the focus is. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboard.data import Row
from dashboard.selection import Selection
from dashboard.suspects.verdicts import own
from storage import VERDICTS, Entry, team_verdict

PER_PAGE = 6  # more are slow to draw, and below the screen in any case
LONGEST = 300  # characters of a class that can be chosen: what is longer does not fit into a link
UNREVIEWED, NONE, SPLIT, FLAGGED = "unreviewed", "none", "split", "flagged"
GROUPS = ("kind", "status", "class", "flagged", "mine", "team")
Standing = Mapping[str, Sequence[Entry]]


@dataclass(frozen=True)
class Filtered:
    """The suspects that are listed, in their order, and the one in focus.

    Attributes:
        rows: what the filters keep.
        place: position of the suspect in focus among `rows`, from 0; 0 also where there is none.
    """

    rows: list[Row]
    place: int

    @property
    def focus(self) -> Row | None:
        """The suspect in focus; None when nothing is listed."""
        return self.rows[self.place] if self.rows else None

    @property
    def page(self) -> int:
        """The page that the focus is on, from 1."""
        return self.place // PER_PAGE + 1

    @property
    def pages(self) -> int:
        """How many pages there are, at least 1."""
        return max(1, -(-len(self.rows) // PER_PAGE))

    @property
    def shown(self) -> list[Row]:
        """The suspects of the page."""
        start = (self.page - 1) * PER_PAGE
        return self.rows[start : start + PER_PAGE]

    def near(self, step: int) -> str:
        """The suspect so many places after the one in focus; empty where the list has none."""
        place = self.place + step
        return str(self.rows[place]["id"]) if 0 <= place < len(self.rows) else ""

    def first_of(self, page: int) -> str:
        """The first suspect of a page."""
        return str(self.rows[min((page - 1) * PER_PAGE, len(self.rows) - 1)]["id"])


def options(rows: Sequence[Row]) -> dict[str, list[str]]:
    """What each filter offers: what occurs, in the order of the ranks."""
    classes = [str(row["class_name"]) for row in rows if row["class_name"] and len(row["class_name"]) <= LONGEST]
    return {
        "kind": list(dict.fromkeys(row["kind"] for row in rows)),
        "status": list(dict.fromkeys(row["status"] for row in rows)),
        "class": list(dict.fromkeys(classes)),
        "flagged": [FLAGGED],
        "mine": [UNREVIEWED, *VERDICTS],
        "team": [NONE, *VERDICTS, SPLIT],
    }


def choices(chosen: Selection, offered: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What is chosen in each filter, without what it does not offer."""
    return {group: [value for value in chosen.chosen(group) if value in offered[group]] for group in GROUPS}


def filtered(
    rows: Sequence[Row], wanted: Mapping[str, Sequence[str]], standing: Standing, name: str, suspect: str
) -> Filtered:
    """The suspects that fit every filter, with `suspect` in focus if it is among them.

    Args:
        wanted: per group the values that fit; none for no restriction.
        standing: the verdicts of each suspect.
        name: whose verdicts "mine" is about.
    """

    def values(row: Row) -> dict[str, str]:
        entries = standing.get(row["id"], ())
        mine = own(entries, name)
        return {
            "kind": row["kind"],
            "status": row["status"],
            "class": str(row["class_name"]),
            "flagged": FLAGGED if row["flagged"] else "",
            "mine": mine.verdict if mine else UNREVIEWED,
            "team": team_verdict(entries) or NONE,
        }

    told = [(row, values(row)) for row in rows]
    kept = [row for row, value in told if all(not some or value[group] in some for group, some in wanted.items())]
    place = next((k for k, row in enumerate(kept) if row["id"] == suspect), 0)
    return Filtered(kept, place)


def next_unreviewed(names: Sequence[str], after: str, standing: Standing, name: str) -> str:
    """The next suspect that a person has not judged, after one, round the list; empty when all are judged."""
    start = names.index(after) + 1 if after in names else 0
    round_the_list = [*names[start:], *names[:start]]
    return next((one for one in round_the_list if own(standing.get(one, ()), name) is None), "")
