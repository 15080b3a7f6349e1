"""Reading and writing transactions of a reviews database, and their errors in words."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import Connection, inspect, select, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from storage.errors import UPGRADE, StoreError, StoreTooNew
from storage.reviews.entries import REVIEWS_SCHEMA_VERSION
from storage.reviews.place import Place
from storage.reviews.tables import metadata, state

PATIENCE_SECONDS = 10.0
T = TypeVar("T")


class Database:
    """The transactions. Threads may share it; a transaction holds a connection of its own."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def read(self, work: Callable[[Connection], T], empty: T) -> T:
        """What `work` finds, in one transaction; `empty` as long as nobody has written anything."""
        return self._patiently(lambda: self._read_once(work, empty), "read")

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction, the only one that writes; all of it is stored or nothing."""
        return self._patiently(lambda: self._write_once(work), "written")

    def writable(self) -> bool:
        """Whether writing may succeed; False also while the database cannot be reached."""
        try:
            return self.place.writable()
        except SQLAlchemyError:
            return False

    def _read_once(self, work: Callable[[Connection], T], empty: T) -> T:
        if not self.place.exists():
            return empty
        with self.place.engine.connect() as connection, connection.begin():
            return work(connection) if self._has_tables(connection) else empty

    def _write_once(self, work: Callable[[Connection], T]) -> T:
        self.place.prepare()
        with self.place.engine.connect() as raw:
            connection = raw.execution_options(writes=True)
            with connection.begin():
                self.place.lock(connection)
                if not self._has_tables(connection):
                    _make_tables(connection)
                return work(connection)

    def _has_tables(self, connection: Connection) -> bool:
        """Whether there are tables, which this version can read (else StoreTooNew)."""
        if not inspect(connection).has_table(state.name):
            return False
        version = connection.execute(select(state.c.schema_version)).scalar()
        if not isinstance(version, int) or version < 1:  # SQLite keeps any value in a column of numbers
            raise StoreError(
                f"the reviews in {self.place.name} are damaged: their schema version {version!r} is none. "
                "Put a backup in their place, or move them away to begin anew"
            )
        if version > REVIEWS_SCHEMA_VERSION:
            raise StoreTooNew(
                f"the reviews in {self.place.name} were made by a newer version (schema {version}); this one reads "
                f"up to {REVIEWS_SCHEMA_VERSION}: {UPGRADE}"
            )
        return True

    def _patiently(self, attempt: Callable[[], T], doing: str) -> T:
        """Try again while others write; then, and on every other error, a StoreError.

        Errors of the database are not chained: what they show may hold the address with its password.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return attempt()
            except DBAPIError as error:
                if not self.place.is_busy(error) or time.monotonic() >= deadline:
                    raise self._failure(error, doing) from None
                time.sleep(0.02)
            except SQLAlchemyError as error:
                raise self._failure(error, doing) from None

    def _failure(self, error: SQLAlchemyError, doing: str) -> StoreError:
        """What went wrong, what is left, what helps."""
        name = f"the reviews in {self.place.name}"
        stored = "; nothing was stored" if doing == "written" else ""
        if isinstance(error, DBAPIError):
            if self.place.is_busy(error):
                return StoreError(f"{name} are being written by others without a break{stored}. Try again in a moment")
            if self.place.is_damaged(error):
                return StoreError(
                    f"{name} cannot be {doing}: the file is damaged ({_reason(error)}){stored}. Put a backup in its "
                    "place, or move it away to begin anew"
                )
            if error.connection_invalidated and doing == "written":
                stored = "; the connection broke, look into the history whether it was stored"
        return StoreError(f"{name} cannot be {doing} ({self.place.scrub(_reason(error))}){stored}")


def _reason(error: SQLAlchemyError) -> str:
    """The database's own words, without the statement."""
    told = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(told).split()) or type(told).__name__


def _make_tables(connection: Connection) -> None:
    """All tables, in the writer's transaction."""
    metadata.create_all(connection)
    connection.execute(
        state.insert().values(one=1, schema_version=REVIEWS_SCHEMA_VERSION, database_id=uuid.uuid4().hex, last_id=0)
    )


def next_id(connection: Connection) -> int:
    """The id of the line that is about to be written; only inside `Database.write`."""
    connection.execute(update(state).values(last_id=state.c.last_id + 1))
    return int(connection.execute(select(state.c.last_id)).scalar_one())


def now() -> datetime:
    """This moment, UTC."""
    return datetime.now(UTC)
