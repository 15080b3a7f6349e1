"""The suspects of a run: one small file, replaced as a whole, so that a reader sees the old list or the new one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.atomic import plain_json, sweep_temporary, write_bytes
from storage.columns import SUSPECT_COLUMNS
from storage.errors import StoreError
from storage.layout import RunLayout
from storage.lock import FileLock
from storage.wellformed import UNREADABLE, object_of, require_columns

ABOUT = b"about"
JSON_COLUMNS = ("evidence", "cue")


@dataclass(frozen=True)
class Suspects:
    """What `suspects.parquet` holds.

    Attributes:
        rows: one dict per suspect with the keys of the columns, best first; `evidence` and `cue` are dicts.
        about: how the list was made: samples, chance, settings, and whether it is complete.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)


def suspect_schema() -> pa.Schema:
    """The Arrow schema of the table."""
    return pa.schema([pa.field(c.name, c.type, nullable=not c.required) for c in SUSPECT_COLUMNS])


def write_suspects(run: RunLayout, rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> None:
    """Replace the suspects of a run. StoreError when the disk refuses; the earlier list then stays."""
    flat = [{**row, **{name: json.dumps(plain_json(row[name])) for name in JSON_COLUMNS}} for row in rows]
    schema = suspect_schema().with_metadata({ABOUT: json.dumps(plain_json(dict(about))).encode()})
    try:
        table = pa.Table.from_pylist(flat, schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise StoreError(f"the suspects of run {run.run_id!r} do not fit their columns: {error}") from error
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    try:
        write_bytes(run.suspects, memoryview(sink.getvalue()))
    except OSError as error:
        raise StoreError(
            f"{run.suspects} cannot be written ({error.strerror or error}); the list before it is unchanged. "
            "Free some space or make it writable, and run the same command again"
        ) from error


def read_suspects(run: RunLayout) -> Suspects:
    """The suspects of a run; an empty `Suspects` when they were never looked for."""
    if not run.suspects.exists():
        return Suspects()
    try:
        # at once: by its name the file would be opened twice, and it may be replaced in between
        table = pq.read_table(pa.BufferReader(run.suspects.read_bytes()))
        require_columns(table, suspect_schema())
        about = object_of((table.schema.metadata or {}).get(ABOUT, b"{}"))
        rows = [{**row, **{name: object_of(row[name]) for name in JSON_COLUMNS}} for row in table.to_pylist()]
    except UNREADABLE as error:
        raise StoreError(
            f"{run.suspects} cannot be read ({error}); `python -m jobs suspects {run.run_id}` makes it anew"
        ) from error
    return Suspects(rows, about)


def count_suspects(run: RunLayout) -> dict[str, int] | None:
    """How many suspects a run has, `{"suspects", "verified", "flagged"}`, without reading the rest of the list.

    None when they were never looked for, or cannot be read.
    """
    try:
        content = pa.BufferReader(run.suspects.read_bytes())
        rows = pq.read_table(content, columns=["status", "flagged"]).to_pylist()
        verified = sum(row["status"] == "verified" for row in rows)
        return {"suspects": len(rows), "verified": verified, "flagged": sum(row["flagged"] for row in rows)}
    except UNREADABLE:
        return None


@contextmanager
def suspects_lock(run: RunLayout) -> Iterator[None]:
    """Held while suspects are looked for; RunLocked names the process that does so already."""
    lock = FileLock(run.suspects_lock, f"the list of suspects of run {run.run_id!r}")
    try:
        lock.acquire()
    except OSError as error:
        raise StoreError(f"{run.folder} cannot be written ({error.strerror}); nothing was changed") from error
    try:
        sweep_temporary(run.folder, run.suspects.name)
        yield
    finally:
        lock.release()
