"""What the Report page has chosen, as it travels in the link, and the options that follow. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.data import Row
from dashboard.report.options import FORMATS, MAX_MB, MAX_TITLE, Options
from dashboard.selection import Selection

WHICH = {"filtered": "As filtered on Suspects", "flagged": "Probably spurious", "picked": "Picked below"}
MOST_PICKS = 25  # ids that a link can hold beside the filters
LEAST_MB, MOST_MB = 0.1, 100.0
CHARTS = ("interactive", "static")


@dataclass(frozen=True)
class Form:
    """The fields of the page.

    Attributes:
        which: one of WHICH.
        picks: ids that were picked one by one.
    """

    which: str = "filtered"
    picks: tuple[str, ...] = ()
    format: str = "html"
    max_mb: float = MAX_MB
    static: bool = False
    title: str = ""


def read(chosen: Selection) -> Form:
    """The form of a view; what a link says wrongly is left at its default."""

    def one(group: str, allowed: Sequence[str], default: str) -> str:
        value = next(iter(chosen.chosen(group)), default)
        return value if value in allowed else default

    try:
        size = float(next(iter(chosen.chosen("mb")), MAX_MB))
    except ValueError:
        size = MAX_MB
    return Form(
        which=one("report", list(WHICH), "filtered"),
        picks=chosen.chosen("pick")[:MOST_PICKS],
        format=one("format", FORMATS, "html"),
        max_mb=size if LEAST_MB <= size <= MOST_MB else MAX_MB,
        static=one("charts", CHARTS, CHARTS[0]) == "static",
        title=next(iter(chosen.chosen("title")), "")[:MAX_TITLE],
    )


def suspects(form: Form, rows: Sequence[Row], filtered: Sequence[Row]) -> list[Row]:
    """The suspects of the report, in the order of the ranks."""
    if form.which == "flagged":
        return [row for row in rows if row["flagged"]]
    if form.which == "picked":
        return [row for row in rows if row["id"] in form.picks]
    return list(filtered)


def options(form: Form, rows: Sequence[Row], shown: Sequence[Row], link_base: str) -> Options:
    """The options of the report; the command line stays short where all suspects, or all flagged ones, are in it."""
    ids = [str(row["id"]) for row in shown]
    every = [str(row["id"]) for row in rows]
    flagged = [str(row["id"]) for row in rows if row["flagged"]]
    named = () if ids in (every, flagged) else tuple(ids)
    return Options(
        suspects=named,
        flagged=ids != every and ids == flagged,
        format=form.format,
        max_mb=form.max_mb,
        link_base=link_base,
        static=form.static and form.format == "html",
        title=form.title.strip(),
    )
