"""The tables, the same in SQLite and Postgres. `docs/reviews.md` explains them column by column."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

from storage.reviews.checks import NAME_CHARACTERS, TAG_CHARACTERS

metadata = MetaData()


class UtcTime(TypeDecorator[datetime]):
    """A moment: `timestamptz` in Postgres; in SQLite, which has no time type, text in UTC that sorts by time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware moments go in."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware UTC comes out."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _name(column: str) -> Column[Any]:
    return Column(column, String(NAME_CHARACTERS), nullable=False)


def _id() -> Column[Any]:
    """Given by `state.last_id`, never by the database: one numbering for all logs, in the order of commits."""
    return Column("id", BigInteger, primary_key=True, autoincrement=False)


def _at() -> Column[Any]:
    return Column("at", UtcTime, nullable=False)


state = Table(
    "review_state",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("schema_version", Integer, nullable=False),
    Column("database_id", String(32), nullable=False),
    Column("last_id", BigInteger, nullable=False),
)

verdicts = Table(
    "verdicts",
    metadata,
    _id(),
    _at(),
    _name("run"),
    _name("suspect"),
    _name("reviewer"),
    Column("verdict", String(20), nullable=False),
    Column("note", Text, nullable=False),
    Column("takes_back", BigInteger, nullable=True, unique=True),
    Index("verdicts_by_suspect", "run", "suspect"),
)

tag_changes = Table(
    "tag_changes",
    metadata,
    _id(),
    _at(),
    _name("run"),
    Column("tag", String(TAG_CHARACTERS), nullable=False),
    _name("reviewer"),
    Column("added", Boolean, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Index("tag_changes_by_run", "run"),
)

tag_change_samples = Table(
    "tag_change_samples",
    metadata,
    Column("change_id", BigInteger, primary_key=True, autoincrement=False),
    Column("sample_id", BigInteger, primary_key=True, autoincrement=False),
)

# What the tag log comes to; kept beside it, in the same transactions, so that a page need not add up the log.
sample_tags = Table(
    "sample_tags",
    metadata,
    Column("run", String(NAME_CHARACTERS), primary_key=True),
    Column("sample_id", BigInteger, primary_key=True, autoincrement=False),
    Column("tag", String(TAG_CHARACTERS), primary_key=True),
    Index("sample_tags_by_tag", "run", "tag", "sample_id"),
)

saved_views = Table(
    "saved_views",
    metadata,
    _id(),
    _at(),
    _name("reviewer"),
    _name("name"),
    _name("page"),
    Column("params", Text, nullable=False),
    Column("removed", Boolean, nullable=False),
    Index("saved_views_by_name", "name"),
)

role_changes = Table(
    "role_changes",
    metadata,
    _id(),
    _at(),
    _name("person"),
    Column("role", String(20), nullable=False),
    _name("by"),
    Index("role_changes_by_person", "person"),
)
