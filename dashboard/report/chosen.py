"""Which suspects a report holds. Pure functions."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from dashboard.data import Row
from dashboard.report.options import Options, ReportError

LISTED = 12  # ids that a message lists


def chosen(rows: Sequence[Row], options: Options) -> list[Row]:
    """The suspects that are asked for, in the order of the ranks. ReportError for an id that nobody has."""
    known = [str(row["id"]) for row in rows]
    for wanted in options.suspects:
        if wanted not in known:
            raise ReportError(f"this run has no suspect '{_short(wanted)}'{_hint(wanted, known)}")
    kept = [row for row in rows if not options.suspects or str(row["id"]) in options.suspects]
    kept = [row for row in kept if row["flagged"] or not options.flagged]
    return kept[: options.top]


def _hint(wanted: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(wanted, known, 1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]}?"
    if not known:
        return ": none was looked for yet (python -m jobs suspects)"
    rest = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    return f"; there is {', '.join(known[:LISTED])}{rest}"


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 80 else f"{flat[:79]}…"
