"""Sealing: many Parquet parts become one sorted, read-only DuckDB file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from storage.atomic import TEMPORARY, sync_file, sync_folder
from storage.layout import RunLayout
from storage.manifests import PartManifest, SegmentManifest, total, write_manifest
from storage.record import RunRecord, now
from storage.schema import SCHEMA_VERSION
from storage.tables import literal, part_selects, part_source, patch_selects, summable, table_columns

SEGMENT_SAMPLES = 1_000_000
# Readable by DuckDB 1.5 as well as 2.0; the format of 2.0 is not, and buys nothing measurable.
FILE_FORMAT = "v1.5.0"
# A model shares the machine; what does not fit is sorted on disk.
MEMORY_LIMIT = "2GB"
_BATCH_ROWS = 16_384
_OFFLINE = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}


def grouped(parts: Sequence[PartManifest], limit: int = SEGMENT_SAMPLES) -> Iterator[list[PartManifest]]:
    """Parts in order, cut into groups of at most `limit` samples (a single larger part stays whole)."""
    group: list[PartManifest] = []
    samples = 0
    for part in parts:
        if group and samples + part.contents.samples > limit:
            yield group
            group, samples = [], 0
        group.append(part)
        samples += part.contents.samples
    if group:
        yield group


def build_segment(run: RunLayout, record: RunRecord, number: int, parts: Sequence[PartManifest]) -> SegmentManifest:
    """Write `segments/<number>.duckdb` from parts, then its manifest, which publishes it."""
    path = run.segment(number)
    temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        _write_tables(temporary, run, record, parts)
        sync_file(temporary)
        os.replace(temporary, path)
    except BaseException:
        discard(temporary)
        raise
    sync_folder(path.parent)
    manifest = SegmentManifest(
        segment=number,
        contents=total(part.contents for part in parts),
        bytes=path.stat().st_size,
        parts=tuple(part.part for part in parts),
        sealed_at=now(),
    )
    write_manifest(run.segment_manifest(number), manifest)
    return manifest


def discard(database: Path) -> None:
    """Remove an unfinished DuckDB file and its log."""
    for path in (database, database.with_name(database.name + ".wal")):
        path.unlink(missing_ok=True)


def _write_tables(path: Path, run: RunLayout, record: RunRecord, parts: Sequence[PartManifest]) -> None:
    """Fill a new DuckDB file; it is complete and closed on return."""
    discard(path)
    spill = str(path.with_name(path.name + ".spill" + TEMPORARY))
    limits = {"temp_directory": spill, "memory_limit": MEMORY_LIMIT}
    with duckdb.connect(":memory:", config={**_OFFLINE, **limits}) as con:
        con.execute(f"ATTACH {literal(str(path))} AS seg (STORAGE_VERSION '{FILE_FORMAT}')")
        source = part_source(run, parts, record.metadata)
        contents = total(part.contents for part in parts)
        for table, select in part_selects(source, contents, record.metadata).items():
            con.execute(f"CREATE TABLE seg.{table} AS {select} ORDER BY {_order(table)}")
        _insert_patches(con, run, record, parts)
        _insert_arrow(con, "failures", failure_table(parts))
        _insert_arrow(con, "rollup_class", _rollup(con, source, record.metadata))
        _insert_arrow(con, "meta", _meta(run, parts))
        con.execute("CHECKPOINT seg")
        con.execute("DETACH seg")


def _order(table: str) -> str:
    """What the rows of a table are sorted by."""
    if table == "samples":
        return "sample_id"
    return "sample_id, modality" if table.startswith("embedding_") else "sample_id, target"


def _insert_patches(
    con: duckdb.DuckDBPyConnection, run: RunLayout, record: RunRecord, parts: Sequence[PartManifest]
) -> None:
    """Fill the tables of patches part by part, which is the order of the samples: they are by far the largest, and to
    sort them as a whole would take more memory the more parts and cores there are."""
    columns = table_columns(total(part.contents for part in parts), record.metadata)
    tables = {name: kinds for name, kinds in columns.items() if name.startswith("patches_")}
    con.begin()
    for name, kinds in tables.items():
        con.execute(f"CREATE TABLE seg.{name} ({', '.join(f'{column} {kind}' for column, kind in kinds)})")
    for part in sorted(parts, key=lambda part: part.contents.min_id or 0):
        source = part_source(run, [part], record.metadata)
        for name, select in patch_selects(source, part.contents, record.metadata).items():
            con.execute(f"INSERT INTO seg.{name} {select} ORDER BY sample_id, target, slot")
    con.commit()


def _insert_arrow(con: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    con.register("incoming", rows)
    con.execute(f"CREATE TABLE seg.{table} AS SELECT * FROM incoming")
    con.unregister("incoming")


def failure_table(parts: Sequence[PartManifest]) -> pa.Table:
    """The `failures` table of some parts."""
    rows = [{**failure, "part": part.part} for part in parts for failure in part.failures]
    schema = pa.schema({"sample_id": pa.int64(), "uri": pa.string(), "reason": pa.string(), "part": pa.int32()})
    return pa.Table.from_pylist(rows, schema=schema)


def _meta(run: RunLayout, parts: Sequence[PartManifest]) -> pa.Table:
    contents = total(part.contents for part in parts)
    schema = pa.schema(
        {
            "schema_version": pa.int32(),
            "run_id": pa.string(),
            "min_id": pa.int64(),
            "max_id": pa.int64(),
            "parts": pa.list_(pa.int32()),
        }
    )
    row = {
        "schema_version": SCHEMA_VERSION,
        "run_id": run.run_id,
        "min_id": contents.min_id,
        "max_id": contents.max_id,
        "parts": [part.part for part in parts],
    }
    return pa.Table.from_pylist([row], schema=schema)


def _rollup(con: duckdb.DuckDBPyConnection, source: str, metadata: list[dict[str, Any]]) -> pa.Table:
    """Sum of the image maps per (target, predicted, width), in batches so that memory stays flat."""
    sums: dict[tuple[str, str | None, int], tuple[int, np.ndarray]] = {}
    maps = con.sql(f"SELECT target, predicted, map FROM {source} WHERE {summable(metadata)} AND len(map) > 0")
    for batch in maps.to_arrow_reader(_BATCH_ROWS):
        _add_batch(sums, batch)
    rows: list[dict[str, Any]] = [
        {
            "target": target,
            "modality": "image",
            "predicted": predicted,
            "width": width,
            "n": n,
            "sum_map": vector,
        }
        for (target, predicted, width), (n, vector) in sums.items()
    ]
    schema = pa.schema(
        {
            "target": pa.string(),
            "modality": pa.string(),
            "predicted": pa.string(),
            "width": pa.int32(),
            "n": pa.int64(),
            "sum_map": pa.list_(pa.float64()),
        }
    )
    return pa.Table.from_pylist(rows, schema=schema)


def _add_batch(sums: dict[tuple[str, str | None, int], tuple[int, np.ndarray]], batch: pa.RecordBatch) -> None:
    """Add one batch of (target, predicted, map) to the sums."""
    keys = list(
        zip(
            batch["target"].to_pylist(),
            batch["predicted"].to_pylist(),
            batch["map"].value_lengths().to_pylist(),
            strict=True,
        )
    )
    rows_of: dict[tuple[str, str | None, int], list[int]] = {}
    for row, key in enumerate(keys):
        rows_of.setdefault(key, []).append(row)
    for key, rows in rows_of.items():
        maps = batch["map"].take(pa.array(rows))
        vector = maps.flatten().to_numpy().reshape(len(rows), key[2]).sum(axis=0, dtype=np.float64)
        n, before = sums.get(key, (0, 0.0))
        sums[key] = (n + len(rows), before + vector)
