"""Reading a run with SQL, also while it is being written."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa

from storage.checksums import damaged_segment, mend
from storage.errors import StoreError
from storage.layout import RunLayout
from storage.manifests import SegmentManifest, Snapshot, take_snapshot
from storage.memory import SHARED, Memory, Sized
from storage.pieces import Pieces
from storage.progress import Progress, read_progress
from storage.record import RunRecord, read_record
from storage.segments import failure_table
from storage.sets import SampleSets
from storage.suspects import Suspects, read_suspects
from storage.tables import literal, no_pattern
from storage.views import TAIL_FAILURES, segment_alias, view_statements

Key = tuple[int, str]
Result = TypeVar("Result")
Array = TypeVar("Array", bound=Sized)
_ATTEMPTS = 5


class RunReader:
    """An in-memory DuckDB with views over one run. Share it between threads; every query has its own cursor.

    The views do not move by themselves: call `refresh` (cheap when nothing changed) to see new parts.
    """

    def __init__(self, run: RunLayout, *, memory: str | None = None, spill: bool = True) -> None:
        """Open the views; `memory` and `spill` as of `connect`."""
        self.run = run
        self._guard = threading.RLock()
        self.still = threading.RLock()  # who holds it keeps others from calling `refresh`
        self._root = connect(run.folder, memory=memory, spill=spill)
        self._snapshot: Snapshot | None = None
        self._record = read_record(run)
        self._attached: dict[str, dict[str, set[str]]] = {}
        self._pieces: Pieces | None = None
        self._memory: dict[Any, Any] = {}
        self.arrays: Memory = SHARED
        self.facts: dict[Any, Any] = {}  # what is known of sealed segments, which never change
        self._token = object()  # who asks, in the keys of `arrays`
        self.sets = SampleSets(self._root)
        self.refresh()

    # -- state ----------------------------------------------------------------------------------------

    @property
    def record(self) -> RunRecord:
        """The run's record as of the last `refresh`."""
        return self._record

    @property
    def snapshot(self) -> Snapshot:
        """The manifests the views are built from."""
        assert self._snapshot is not None  # set in __init__
        return self._snapshot

    @property
    def version(self) -> str:
        """Changes whenever the views' content may have changed; a key for caches."""
        return self.snapshot.version

    @property
    def problems(self) -> list[str]:
        """What is missing on disk, in words; empty for a whole run. Running the same job again repairs it."""
        snapshot = self.snapshot
        return [f"part {part} will be computed again: {why}" for part, why in snapshot.redo.items()] + [
            f"segment {number:04d} is missing or cut" for number in snapshot.lost_segments
        ]

    def refresh(self) -> bool:
        """Look for new parts and segments; True when there were any and the views were rebuilt."""
        with self.still:
            return self._moved()

    def _moved(self) -> bool:
        """`refresh` where files are gone: it waits for no `still`, whose holder may be waiting for this very answer."""
        with self._guard:
            self._record = read_record(self.run)
            snapshot = take_snapshot(self.run, verified=True)
            if self._snapshot is not None and snapshot.version == self._snapshot.version:
                self._snapshot = snapshot
                return False
            self._snapshot = self._rebuilt(snapshot)
            self._memory.clear()
            self._forget_arrays()
            return True

    def _forget_arrays(self) -> None:
        """Let go of what `keep` kept."""
        self.arrays.forget(lambda key: key[0] is self._token)

    def _rebuilt(self, snapshot: Snapshot) -> Snapshot:
        """Build the views; from a newer snapshot when parts were removed since this one was taken."""
        for _ in range(_ATTEMPTS):
            try:
                self._attach(snapshot)
                self._replace_views(snapshot)
                return snapshot
            except duckdb.IOException as error:
                problem = _first_line(error)
                snapshot = take_snapshot(self.run, verified=True)
        raise StoreError(f"run {self.run.run_id!r} cannot be read: {problem}")

    def _attach(self, snapshot: Snapshot) -> None:
        """Attach new segments. None is detached: a segment never goes away, and queries may be running."""
        cursor = self._root.cursor()
        found = {segment_alias(segment): segment for segment in snapshot.segments}
        new = {alias: segment for alias, segment in found.items() if alias not in self._attached}
        self._attached.update(attach(cursor, self.run, new))

    def _replace_views(self, snapshot: Snapshot) -> None:
        """Swap all views at once, so that no query sees half of a change."""
        present = {segment_alias(segment) for segment in snapshot.segments}
        catalog = {alias: tables for alias, tables in self._attached.items() if alias in present}
        cursor = self._root.cursor()
        cursor.begin()
        try:
            cursor.register("incoming", failure_table(snapshot.tail))
            cursor.execute(f"CREATE OR REPLACE TABLE {TAIL_FAILURES} AS SELECT * FROM incoming")
            for statement in view_statements(self.run, self._record, snapshot, catalog):
                cursor.execute(statement)
            cursor.commit()
        except BaseException:
            cursor.rollback()
            raise
        finally:
            cursor.unregister("incoming")

    def suspects(self) -> Suspects:
        """The suspects as they are on disk now; empty when they were never looked for."""
        return read_suspects(self.run)

    def progress(self) -> Progress:
        """How far the run is now, whether or not the views have been refreshed."""
        return read_progress(self.run, self._record)

    # -- queries --------------------------------------------------------------------------------------

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A fresh cursor; never share one between threads (shared connections give wrong rows)."""
        return self._root.cursor()

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Rows of a query as dicts; `?` in the SQL are bound to `params`."""

        def rows(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
            result = cursor.execute(sql, list(params))
            names = [column[0] for column in result.description or []]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

        return self.retrying(rows)

    def table(self, sql: str, params: Sequence[Any] = ()) -> pa.Table:
        """The result of a query as an Arrow table; the way to fetch many rows or vectors."""
        return self.retrying(lambda cursor: cursor.sql(sql, params=list(params)).to_arrow_table())

    def retrying(self, work: Callable[[duckdb.DuckDBPyConnection], Result]) -> Result:
        """Run `work` on a fresh cursor; again on refreshed views when files were retired meanwhile."""
        for _ in range(_ATTEMPTS):
            version = self.version
            try:
                return work(self.cursor())
            except duckdb.IOException as error:
                problem: duckdb.Error = error
                if not self._moved() and self.version == version:  # nor has another thread refreshed
                    break
            except duckdb.Error as error:
                if not self._lost_part(error):
                    raise
                problem = error
        raise StoreError(f"run {self.run.run_id!r} cannot be read: {_first_line(problem)}") from problem

    def _lost_part(self, error: duckdb.Error) -> bool:
        """Whether a query failed because of a part that was damaged since, and which `refresh` leaves out.

        Raises StoreError for a damaged segment: only people can say whether its samples are to be made again.
        """
        segments = [segment.segment for segment in self.snapshot.segments]
        if (line := damaged_segment(self.run, segments, str(error))) is not None:
            raise StoreError(line) from error
        before = self.snapshot.redo
        return self._moved() and self.snapshot.redo != before

    @property
    def pieces(self) -> Pieces:
        """Where the rows of the run lie, as of `snapshot`."""
        pieces, snapshot = self._pieces, self.snapshot
        if pieces is None or pieces.snapshot is not snapshot:
            pieces = self._pieces = Pieces.of(self.run, self._record, snapshot, self._attached)
        return pieces

    def spread(self, select: str, params: Sequence[Any] = (), *, outer: str = "SELECT * FROM {}") -> pa.Table:
        """The answers of all pieces to a SELECT (see `Pieces.spread`), one after the other; `outer` sums them up.

        Much faster than a query on the views when there are many segments.
        """

        def work(cursor: duckdb.DuckDBPyConnection) -> pa.Table:
            sql, times = self.pieces.spread(select)
            return cursor.sql(outer.format(f"({sql})"), params=list(params) * times).to_arrow_table()

        return self.retrying(work)

    def rows_of(
        self,
        table: str,
        ids: Sequence[int],
        condition: str = "true",
        params: Sequence[Any] = (),
        empty: AbstractSet[str] = frozenset(),
    ) -> list[dict[str, Any]]:
        """All columns of the rows of some samples in `samples` or `explanations`, in no order.

        Columns that are known to be `empty` are None without being read: most of the time goes with the columns.
        """

        def work(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
            names = [name for name, _ in self.pieces.columns.get(table, [])]
            read = [name for name in names if name not in empty]
            selects = self.pieces.lookups(table, read, ids, condition)
            if not selects:
                return []
            rows = cursor.execute(" UNION ALL ".join(selects), list(params) * len(selects)).fetchall()
            return [{**dict.fromkeys(names), **dict(zip(read, row, strict=True))} for row in rows]

        return self.retrying(work)

    def keep(self, key: Any, make: Callable[[], Array]) -> Array:
        """`make()`, kept until the run changes or the room is needed for something else (see `Memory`)."""
        return self.arrays.get((self._token, self.version, key), make)

    def keeps(self, key: Any) -> bool:
        """Whether `keep` has the value of this key already."""
        return (self._token, self.version, key) in self.arrays

    def remember(self, key: Any, make: Callable[[], Result]) -> Result:
        """`make()`, kept until the run changes."""
        key = (self.version, key)
        if key not in self._memory:
            self._memory[key] = make()
        return self._memory[key]

    # -- vectors --------------------------------------------------------------------------------------

    def map_widths(self, modality: str) -> tuple[int, ...]:
        """Widths n of the tables `map_<modality>_<n>`. Maps of regions and of detections lie in `map_varied_<n>`."""
        if modality not in ("image", "text"):
            raise StoreError(f"unknown modality {modality!r}; available: image, text")
        contents = self.snapshot.contents
        return contents.image_widths if modality == "image" else contents.text_widths

    def map_width(self, modality: str) -> int | None:
        """The largest of `map_widths`; None when the run has no maps of this modality (yet)."""
        return max(self.map_widths(modality), default=None)

    @property
    def patch_widths(self) -> tuple[int, ...]:
        """Widths d of the tables `patches_<d>`; empty when the run stored no patches (yet)."""
        return self.snapshot.contents.patch_widths

    @property
    def embedding_widths(self) -> tuple[int, ...]:
        """Widths d of the tables `embedding_<d>`; empty when the run stored no embeddings (yet)."""
        return self.snapshot.contents.embedding_widths

    def maps(self, keys: Iterable[Key], modality: str) -> dict[Key, np.ndarray]:
        """Raw relevancy maps, float32, by (sample_id, target); keys without a map are absent.

        Image maps have h*w values, row by row; text maps one value per token.
        """
        wanted = {(int(sample_id), str(target)) for sample_id, target in keys}
        found: dict[Key, np.ndarray] = {}
        for table in self._map_tables(modality) if wanted else ():
            found.update(self.retrying(partial(self._maps_of_table, wanted, *table)))
        return found

    def _maps_of_table(
        self, keys: AbstractSet[Key], kind: str, width: int, cursor: duckdb.DuckDBPyConnection
    ) -> dict[Key, np.ndarray]:
        """The maps in one table."""
        ids, targets = sorted({key[0] for key in keys}), sorted({key[1] for key in keys})
        names = ["sample_id", "target", "vec"] if kind == "image" else ["sample_id", "target", "n_valid", "vec"]
        condition = f"target IN ({', '.join('?' * len(targets))})" if len(targets) > 1 else "target = ?"
        selects = self.pieces.lookups(f"map_{kind}_{width}", names, ids, condition)
        if not selects:
            return {}
        rows = cursor.sql(" UNION ALL ".join(selects), params=targets * len(selects)).to_arrow_table()
        if not len(rows):
            return {}
        vectors = rows["vec"].combine_chunks().flatten().to_numpy().reshape(len(rows), width)
        lengths = [width] * len(rows) if kind == "image" else rows["n_valid"].to_pylist()
        found = zip(rows["sample_id"].to_pylist(), rows["target"].to_pylist(), strict=True)
        return {key: vectors[i, : lengths[i]] for i, key in enumerate(found) if key in keys}

    def _map_tables(self, modality: str) -> list[tuple[str, int]]:
        """Kind and width of the tables that hold maps of a modality."""
        tables = [(modality, width) for width in self.map_widths(modality)]
        return tables + [("varied", n) for n in self.snapshot.contents.varied_widths if modality == "image"]

    # -- end ------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of all files."""
        self._forget_arrays()
        self._root.close()

    def __enter__(self) -> RunReader:
        """The reader itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def connect(*folders: Path, memory: str | None = None, spill: bool = True) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that reads the folders of some runs, and no other file and no network.

    `memory` is the most it may take, such as '1GB'; what does not fit is kept in temporary files where it may `spill`.
    """
    con = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
            "temp_directory": spill_folder() if spill else "",
            **({"memory_limit": memory} if memory else {}),
        },
    )
    # a pattern is checked before it is resolved
    prefixes = {f"{form}/" for folder in folders for form in (str(folder), no_pattern(str(folder)))}
    con.execute(f"SET allowed_directories = [{', '.join(map(literal, prefixes))}]")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return con


def spill_folder() -> str:
    """A folder of this user for DuckDB's temporary files; "" (none) where somebody else made one of its name."""
    folder = Path(tempfile.gettempdir()) / f"relevancy-audit-spill-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return ""
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return str(folder) if private else ""


def attach(
    cursor: duckdb.DuckDBPyConnection, run: RunLayout, segments: Mapping[str, SegmentManifest]
) -> dict[str, dict[str, set[str]]]:
    """Attach segments read-only under their aliases; tables and columns of each. StoreError when one cannot be opened.

    All are asked for their columns at once: DuckDB goes through everything that is attached for every such question.
    """
    for alias, segment in segments.items():
        path = str(run.segment(segment.segment))
        try:
            cursor.execute(f"ATTACH IF NOT EXISTS {literal(path)} AS {alias} (READ_ONLY)")
        except duckdb.Error as error:
            raise StoreError(mend(run, Path(path), _first_line(error))) from error
    _refuse_views(cursor, run, segments)
    return _tables_of(cursor, segments)


def _refuse_views(cursor: duckdb.DuckDBPyConnection, run: RunLayout, segments: Mapping[str, SegmentManifest]) -> None:
    """StoreError for a segment with views. Jobs write tables alone; a view runs whatever somebody wrote into it,
    say a look at a link that lies in the run's folder and leads out of it."""
    if not segments:
        return
    views = cursor.execute("SELECT database_name, view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    for alias, view in views:
        if alias in segments:
            path = run.segment(segments[alias].segment)
            raise StoreError(f"segment {path} holds a view ({view!r}), which no job writes: it is not read")


def _first_line(error: Exception) -> str:
    """DuckDB's message without the SQL below it."""
    return str(error).splitlines()[0]


def _tables_of(cursor: duckdb.DuckDBPyConnection, aliases: Iterable[str]) -> dict[str, dict[str, set[str]]]:
    """Tables and columns of attached segments."""
    tables: dict[str, dict[str, set[str]]] = {alias: {} for alias in aliases}
    if not tables:
        return tables
    sql = "SELECT database_name, table_name, column_name FROM duckdb_columns() WHERE NOT internal"
    for alias, table, column in cursor.execute(sql).fetchall():
        if alias in tables:
            tables[alias].setdefault(table, set()).add(column)
    return tables
