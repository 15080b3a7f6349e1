"""What a report says, before it is HTML, Markdown or a table. Texts are as the data have them, not escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dashboard.data import Row
from dashboard.evidence.meanmap import MeanMaps
from dashboard.words import Piece
from storage import Entry, team_verdict


@dataclass(frozen=True)
class Case:
    """A sample as an example of a cue.

    Attributes:
        name: its class, or label and prediction where they differ.
        said: whether that is right and how sure the model is, or the score.
        right: whether it is right; None where nobody knows.
        caption: the text of a pair; empty for others.
        link: address of its page in the dashboard, or empty.
        picture: JPEG with its relevancy and the cue's box; None for texts and where there is none.
        missing: why there is no picture.
        text: the words of a text with their relevancy.
        boxed: whether the cue's box is drawn.
    """

    sample: int
    name: str
    said: str
    right: bool | None
    caption: str = ""
    link: str = ""
    picture: bytes | None = None
    missing: str = ""
    text: tuple[Piece, ...] = ()
    boxed: bool = False


@dataclass(frozen=True)
class Strip:
    """A row of cases: what they are, how well the model does on all such samples, and some of them."""

    title: str
    result: str
    what: str
    cases: Sequence[Case]


@dataclass(frozen=True)
class Chapter:
    """One suspect."""

    row: Row
    title: str
    headline: str
    lines: Sequence[str]
    strips: Sequence[Strip]
    notes: str
    verdicts: Sequence[Entry]
    link: str
    members_link: str
    maps: MeanMaps | None = None
    others: str = ""

    @property
    def anchor(self) -> str:
        """Its place in the page."""
        return f"suspect-{self.row['rank']}"

    @property
    def team(self) -> str:
        """The team's verdict, "split", or ""."""
        return team_verdict(self.verdicts)


@dataclass(frozen=True)
class Table:
    """A table of facts: its title, and what stands before and after each colon."""

    title: str
    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Report:
    """Everything that a report says."""

    title: str
    run: str
    made: datetime
    facts: Sequence[tuple[str, str]]
    summary: Sequence[str]
    chapters: Sequence[Chapter]
    method: Sequence[Table]
    limits: Sequence[str]
    commands: Sequence[tuple[str, str]]
    about_classes: bool = True
    of_texts: bool = False
    problems: Sequence[str] = field(default_factory=tuple)

    @property
    def cases(self) -> list[Case]:
        """All cases of all suspects."""
        return [case for chapter in self.chapters for strip in chapter.strips for case in strip.cases]
