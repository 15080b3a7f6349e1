"""Where a reviews database lies: a file of the store, or a Postgres server."""

from __future__ import annotations

import os
import re
import sqlite3
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, NoSuchModuleError, SQLAlchemyError

from storage.errors import StoreError

REVIEWS_FILE = "reviews.db"
BUSY_SECONDS = 5.0  # one wait for another writer; `database.PATIENCE_SECONDS` is for all waits together
POOL = {"pool_size": 5, "max_overflow": 20, "pool_timeout": 15.0, "hide_parameters": True}
SECRET = re.compile(r"pass|secret|token|key|credential", re.IGNORECASE)
POSTGRES_LOCK = 0x52656C41  # "RelA": the advisory lock of everybody who writes reviews in this Postgres database


class Place(ABC):
    """A database that may not exist yet."""

    engine: Engine

    @property
    @abstractmethod
    def name(self) -> str:
        """For messages; never holds a password."""

    @abstractmethod
    def exists(self) -> bool:
        """False when there is surely nothing to read."""

    @abstractmethod
    def writable(self) -> bool:
        """Whether writing may succeed."""

    @abstractmethod
    def prepare(self) -> None:
        """Make what a connection for writing needs; StoreError when that is not possible."""

    @abstractmethod
    def lock(self, connection: Connection) -> None:
        """Let one transaction write at a time, so that ids grow in the order of commits."""

    @abstractmethod
    def is_busy(self, error: DBAPIError) -> bool:
        """Whether somebody else was writing for too long, so that trying again helps."""

    def is_damaged(self, error: DBAPIError) -> bool:
        """Whether the file is no (whole) database."""
        return False

    def scrub(self, message: str) -> str:
        """The message without secrets of the address."""
        return message


def find_place(store: Path, url: str | None) -> Place:
    """The store's own file, or what the SQLAlchemy `url` names. Connects to nothing."""
    if not url:
        return SqliteFile(Path(store).expanduser().absolute() / REVIEWS_FILE)
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the text may hold a password: it is shown by nobody
        raise StoreError(
            "the address of the reviews database is not one of SQLAlchemy's; it should look like "
            "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
        ) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:" or parsed.query:
            raise StoreError("a reviews database in SQLite needs a file, sqlite:////folder/reviews.db")
        return SqliteFile(Path(parsed.database).expanduser().absolute())
    if backend != "postgresql":
        hint = "; write postgresql+psycopg://" if backend == "postgres" else ""
        raise StoreError(f"reviews are kept in SQLite or Postgres, not in {backend!r}{hint}")
    return PostgresServer(parsed)


class SqliteFile(Place):
    """One file; write-ahead log, so that readers never wait for a writer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = create_engine(URL.create("sqlite", database=str(path)), creator=self._connect, **POOL)
        event.listen(self.engine, "connect", self._sign)
        event.listen(self.engine, "checkout", self._refuse_stale)
        event.listen(self.engine, "begin", _begin)

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    def exists(self) -> bool:
        """Whether the file is there."""
        return self.path.exists()

    def writable(self) -> bool:
        """Whether the folder (for the log beside the file) and the file take writes."""
        return os.access(self.path.parent, os.W_OK | os.X_OK) and (
            not self.path.exists() or os.access(self.path, os.W_OK)
        )

    def prepare(self) -> None:
        """Make the empty file when it is missing."""
        if not self.path.parent.is_dir():
            raise StoreError(f"there is no folder {self.path.parent} for the reviews; nothing was stored")
        if not self.writable():
            raise StoreError(
                f"{self.path} cannot be written (read-only folder or file); nothing was stored. Make it writable, "
                "or keep the reviews in Postgres"
            )
        try:
            # Only when it is new: closing a handle of an open SQLite file would drop this process's locks on it.
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666))
        except FileExistsError:
            pass
        except OSError as error:
            raise StoreError(f"{self.path} cannot be made ({error.strerror}); nothing was stored") from error

    def lock(self, connection: Connection) -> None:
        """BEGIN IMMEDIATE has done it (`_begin`)."""

    def is_busy(self, error: DBAPIError) -> bool:
        """SQLITE_BUSY and SQLITE_LOCKED."""
        return _code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

    def is_damaged(self, error: DBAPIError) -> bool:
        """SQLITE_CORRUPT and SQLITE_NOTADB."""
        return _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

    def _connect(self) -> sqlite3.Connection:
        """A connection that never makes the file."""
        if not self.writable():
            return self._connect_read_only()
        connection = self._open("mode=rw")
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            # A verdict that was confirmed survives a power cut, which NORMAL would not promise.
            connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _connect_read_only(self) -> sqlite3.Connection:
        """Read a file whose folder takes no writes.

        Where a log lies beside the file, SQLite can read both. Without one it would want to make it; the file is
        then complete and is read as it lies (`immutable`), for this one use (`_refuse_stale`).
        """
        for _ in range(3):  # a writer of another user may come or go in between
            try:
                connection = self._open("mode=ro" if self._log().exists() else "mode=ro&immutable=1")
                connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
                return connection
            except sqlite3.OperationalError as error:
                last = error
        raise last

    def _open(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(str(self.path))}?{mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,  # `_begin` says when a transaction begins
            check_same_thread=False,  # the pool gives a connection to one thread at a time
        )

    def _log(self) -> Path:
        return self.path.with_name(self.path.name + "-wal")

    def _identity(self) -> tuple[int, int, bool] | None:
        """Which file lies there, and how it may be opened; None: not to be used a second time."""
        writable = self.writable()
        try:
            found = self.path.stat()
        except OSError:
            return None
        return (found.st_dev, found.st_ino, True) if writable else None

    def _sign(self, connection: Any, record: Any) -> None:
        record.info["identity"] = self._identity()
        record.info["new"] = True

    def _refuse_stale(self, connection: Any, record: Any, proxy: Any) -> None:
        """A file that was deleted or replaced must not take verdicts nobody will ever see."""
        if record.info.pop("new", False):
            return
        identity = self._identity()
        if identity is None or identity != record.info["identity"]:
            raise DisconnectionError("the file was replaced")


def _begin(connection: Connection) -> None:
    """Writers take the lock at once; a transaction that reads first and then writes could fail half-way."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _code(error: DBAPIError) -> int:
    """SQLite's primary error code; 0 for errors of other kinds."""
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF


class PostgresServer(Place):
    """A database of a Postgres server, for many machines."""

    def __init__(self, url: URL) -> None:
        self._url = url
        named = str(url.database or url.username or "the user's own")
        self._name = f"Postgres database {named!r} at {url.host or 'this machine'}"
        arguments = {} if "connect_timeout" in url.query else {"connect_timeout": 10}
        try:
            self.engine = create_engine(url, connect_args=arguments, pool_pre_ping=True, **POOL)
        except (ModuleNotFoundError, NoSuchModuleError):
            raise StoreError(
                f"the driver of {url.drivername}:// is not installed; `pip install 'psycopg[binary]'` and begin the "
                "address with postgresql+psycopg://"
            ) from None
        except (ArgumentError, SQLAlchemyError, ValueError) as error:
            raise StoreError(f"{self.name} cannot be used ({self.scrub(str(error))})") from None
        if self.engine.dialect.driver not in {"psycopg", "psycopg2"}:
            raise StoreError(f"reviews are read with psycopg, not with {url.drivername}; write postgresql+psycopg://")

    @property
    def name(self) -> str:
        """Database and host."""
        return self._name

    def exists(self) -> bool:
        """Only the server knows."""
        return True

    def writable(self) -> bool:
        """Whether this is no standby and our role may add verdicts (or, before the first, make tables)."""
        asked = text(
            "SELECT current_setting('transaction_read_only') = 'off' AND CASE "
            "WHEN to_regclass('verdicts') IS NULL THEN has_schema_privilege(current_schema(), 'CREATE') "
            "ELSE has_table_privilege(to_regclass('verdicts'), 'INSERT') END"
        )
        with self.engine.connect() as connection:
            return bool(connection.execute(asked).scalar())

    def prepare(self) -> None:
        """Nothing: tables are made in the first writing transaction."""

    def lock(self, connection: Connection) -> None:
        """An advisory lock until the end of the transaction; it also keeps two from making the tables at once."""
        connection.execute(text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": f"{int(BUSY_SECONDS)}s"})
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": POSTGRES_LOCK})

    def is_busy(self, error: DBAPIError) -> bool:
        """lock_not_available, deadlock_detected, serialization_failure: nothing was stored."""
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
        return state in {"55P03", "40P01", "40001"}

    def scrub(self, message: str) -> str:
        """Without the password, wherever the address has it."""
        secrets = [self._url.password] if self._url.password else []
        for key, value in self._url.query.items():
            if SECRET.search(key):
                secrets.extend([value] if isinstance(value, str) else value)
        for secret in map(str, secrets):
            for form in {secret, quote(secret, safe="")} - {""}:
                message = message.replace(form, "***")
        return message
