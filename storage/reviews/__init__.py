"""What people say about the findings: verdicts, tags, saved views and roles, in SQLite or Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage.reviews.agreement import Agreement, agreement_of
from storage.reviews.entries import (
    REVIEWS_SCHEMA_VERSION,
    ROLES,
    VERDICTS,
    Entry,
    Member,
    SavedView,
    TagChange,
    team_verdict,
)

if TYPE_CHECKING:
    from storage.reviews.reviews import Reviews

__all__ = [
    "REVIEWS_SCHEMA_VERSION",
    "ROLES",
    "VERDICTS",
    "Agreement",
    "Entry",
    "Member",
    "Reviews",
    "SavedView",
    "TagChange",
    "agreement_of",
    "team_verdict",
]


def __getattr__(name: str) -> Any:
    """`Reviews` when it is first asked for: a job that explains pictures need not load SQLAlchemy."""
    if name == "Reviews":
        from storage.reviews.reviews import Reviews

        return Reviews
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
