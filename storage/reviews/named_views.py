"""The log of saved views: the latest line of a name counts."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from storage.errors import StoreError, suggest
from storage.reviews.database import next_id, now
from storage.reviews.entries import SavedView
from storage.reviews.tables import saved_views


def save(connection: Connection, name: str, page: str, params: str, reviewer: str, removed: bool = False) -> SavedView:
    """Add a line."""
    view = SavedView(next_id(connection), now(), reviewer, name, page, params)
    connection.execute(saved_views.insert().values(**vars(view), removed=removed))
    return view


def remove(connection: Connection, name: str, reviewer: str) -> None:
    """Add a line that removes a view; StoreError when there is none of this name."""
    there = {view.name: view for view in views(connection)}
    if name not in there:
        raise StoreError(f"there is no saved view {name!r}{suggest(name, there)}")
    save(connection, name, there[name].page, there[name].params, reviewer, removed=True)


def views(connection: Connection) -> list[SavedView]:
    """The latest of each name, newest first, without removed ones."""
    latest = select(func.max(saved_views.c.id)).group_by(saved_views.c.name)
    asked = (
        select(*(saved_views.c[name] for name in SavedView.__dataclass_fields__))
        .where(saved_views.c.id.in_(latest), ~saved_views.c.removed)
        .order_by(saved_views.c.id.desc())
    )
    return [SavedView(*row) for row in connection.execute(asked)]
