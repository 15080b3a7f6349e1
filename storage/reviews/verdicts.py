"""The verdict log."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, func, select

from storage.reviews.database import next_id, now
from storage.reviews.entries import Entry
from storage.reviews.tables import verdicts


def append(
    connection: Connection,
    *,
    run: str,
    suspect: str,
    reviewer: str,
    verdict: str,
    note: str = "",
    takes_back: int | None = None,
) -> Entry:
    """Add a line."""
    entry = Entry(next_id(connection), now(), run, suspect, reviewer, verdict, note, takes_back)
    connection.execute(verdicts.insert().values(**vars(entry)))
    return entry


def take_back(connection: Connection, run: str, reviewer: str, suspect: str | None) -> Entry | None:
    """Add a line that takes back the reviewer's latest verdict that was not taken back; None without one."""
    latest = select(func.max(verdicts.c.id)).where(_not_taken_back(run), verdicts.c.reviewer == reviewer)
    if suspect is not None:
        latest = latest.where(verdicts.c.suspect == suspect)
    row = connection.execute(select(verdicts).where(verdicts.c.id == latest.scalar_subquery())).first()
    if row is None:
        return None
    return append(connection, run=run, suspect=row.suspect, reviewer=reviewer, verdict="", takes_back=row.id)


def standing(connection: Connection, run: str) -> list[Entry]:
    """Per suspect and reviewer the latest verdict that was not taken back, oldest first."""
    latest = (
        select(func.max(verdicts.c.id)).where(_not_taken_back(run)).group_by(verdicts.c.suspect, verdicts.c.reviewer)
    )
    rows = connection.execute(select(verdicts).where(verdicts.c.id.in_(latest)).order_by(verdicts.c.id))
    return [Entry(*row) for row in rows]


def history(connection: Connection, run: str, suspect: str | None) -> list[Entry]:
    """All lines, oldest first."""
    asked = select(verdicts).where(verdicts.c.run == run).order_by(verdicts.c.id)
    if suspect is not None:
        asked = asked.where(verdicts.c.suspect == suspect)
    return [Entry(*row) for row in connection.execute(asked)]


def _not_taken_back(run: str) -> ColumnElement[bool]:
    """Verdicts of the run that no later line takes back."""
    later = verdicts.alias("later")
    taken = select(later.c.takes_back).where(later.c.takes_back == verdicts.c.id).exists()
    return (verdicts.c.run == run) & (verdicts.c.verdict != "") & ~taken
