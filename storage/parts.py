"""Parts: the tables a job commits, checked before they reach the disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.columns import sql_type
from storage.errors import StoreError, suggest
from storage.manifests import STAGES, Contents
from storage.schema import VARIED_WIDTH_STEP, has_embedding, has_patches, padded_width, part_schema, varied

ROW_GROUP_ROWS = 2048
# DuckDB reads a row group's vectors at once, on every core: patches make rows of 30 KB and more.
ROW_GROUP_BYTES = 8 << 20
_KEY = ("sample_id", "target", "modality")


def parts_table(rows: Sequence[Mapping[str, Any]], metadata: Iterable[Mapping[str, Any]]) -> pa.Table:
    """The Arrow table of a part from one dict per (sample_id, target, modality).

    Absent keys become NULL; `sample_first` may be left out altogether. Vectors may be numpy arrays.
    Raises StoreError for an unknown key or a value that does not fit its column.
    """
    schema = part_schema(metadata)
    known = set(schema.names)
    unknown = {name for row in rows for name in row} - known
    if unknown:
        name = sorted(unknown)[0]
        raise StoreError(f"a part has no column {name!r}{suggest(name, schema.names)}")
    if not any("sample_first" in row for row in rows):
        rows = _mark_first(rows)
    arrays = [_array(rows, field) for field in schema]
    table = pa.Table.from_arrays(arrays, schema=schema)
    _require(table)
    return table


def _mark_first(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The first row of each sample carries the sample's own columns."""
    seen: set[Any] = set()
    marked = []
    for row in rows:
        key = row.get("sample_id")
        marked.append({**row, "sample_first": key not in seen})
        seen.add(key)
    return marked


def _array(rows: Sequence[Mapping[str, Any]], field: pa.Field) -> pa.Array:
    """One column of a part."""
    values = [row.get(field.name) for row in rows]
    try:
        return pa.array(values, type=field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        which, value = _culprit(rows, field)
        raise StoreError(
            f"column {field.name!r} of sample {which} holds {value}, which is no {sql_type(field.type)}: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _culprit(rows: Sequence[Mapping[str, Any]], field: pa.Field) -> tuple[Any, str]:
    """The first sample whose value does not fit."""
    for row in rows:
        try:
            pa.array([row.get(field.name)], type=field.type)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return row.get("sample_id"), repr(row.get(field.name))[:60]
    return "?", "mixed values"


def checked(table: pa.Table, metadata: Iterable[Mapping[str, Any]]) -> pa.Table:
    """The table with the schema of the run, sorted by sample; StoreError says what is wrong with it."""
    table = _require(_without_nan(_conform(table, part_schema(metadata))))
    ids = table["sample_id"].to_numpy()
    if len(ids) > 1 and bool(np.any(np.diff(ids) < 0)):
        table = table.take(pa.array(np.argsort(ids, kind="stable")))
    _check_keys(table)
    return table.combine_chunks()


def _conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The same columns in the order and types of the schema; absent nullable columns become NULL."""
    unknown = [name for name in table.column_names if name not in schema.names]
    if unknown:
        raise StoreError(f"the part has an unknown column {unknown[0]!r}{suggest(unknown[0], schema.names)}")
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.chunked_array([pa.nulls(len(table), field.type)]))
            continue
        try:
            columns.append(table[field.name].cast(field.type))
        except pa.ArrowException as error:
            raise StoreError(
                f"column {field.name!r} of the part has type {table[field.name].type}, not "
                f"{sql_type(field.type)}: {str(error).splitlines()[0]}"
            ) from error
    return pa.Table.from_arrays(columns, schema=schema)


def _without_nan(table: pa.Table) -> pa.Table:
    """Optional numbers that are NaN become NULL: in SQL a NaN spoils every mean and sorts above all numbers."""
    for position, field in enumerate(table.schema):
        if field.nullable and pa.types.is_floating(field.type):
            column = table.column(position)
            nothing = pa.scalar(None, field.type)
            table = table.set_column(position, field, pc.if_else(pc.is_nan(column), nothing, column))
    return table


def _require(table: pa.Table) -> pa.Table:
    """Required columns have no NULL."""
    for field in table.schema:
        column = table[field.name]
        if not field.nullable and column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy())[0])
            raise StoreError(f"column {field.name!r} of sample {table['sample_id'][row]} is empty, but it is required")
    return table


def _check_keys(table: pa.Table) -> None:
    """One row per (sample_id, target, modality), and exactly one first row per sample."""
    if len(table.group_by(list(_KEY)).aggregate([])) != len(table):
        counts = table.group_by(list(_KEY)).aggregate([([], "count_all")])
        twice = counts.filter(pc.greater(counts["count_all"], 1)).slice(0, 1).to_pylist()[0]
        raise StoreError(
            f"sample {twice['sample_id']} has target {twice['target']!r}, modality "
            f"{twice['modality']!r} twice in one part; nothing was written"
        )
    modalities = set(pc.unique(table["modality"]).to_pylist())
    if not modalities <= {"image", "text"}:
        raise StoreError(f"unknown modality {sorted(modalities - {'image', 'text'})[0]!r}; available: image, text")
    first = table.filter(table["sample_first"])["sample_id"]
    samples = pc.count_distinct(table["sample_id"]).as_py()
    if len(first) != samples or pc.count_distinct(first).as_py() != samples:
        raise StoreError("sample_first must be true on exactly one row of each sample; nothing was written")


def contents(
    table: pa.Table,
    failures: Sequence[Mapping[str, Any]],
    seconds: Mapping[str, float],
    metadata: Iterable[Mapping[str, Any]],
) -> Contents:
    """What a checked table holds, for its manifest.

    StoreError for patches whose states do not fit their tokens, and for two embeddings of one picture or text.
    """
    ids, metadata = table["sample_id"], list(metadata)
    own = [pc.is_valid(table[name]) for name in varied(metadata)]
    has_own = reduce(pc.or_, own) if own else pa.array([False] * len(table))
    bounds = pc.min_max(ids).as_py() if len(ids) else {"min": None, "max": None}
    return Contents(
        rows=len(table),
        samples=int(pc.sum(table["sample_first"]).as_py() or 0),
        failed=len(failures),
        min_id=bounds["min"],
        max_id=bounds["max"],
        image_widths=_widths(table.filter(pc.invert(has_own)), "image"),
        text_widths=tuple(sorted({padded_width(width) for width in _widths(table, "text")})),
        feature_widths=_lengths(table["features"]),
        varied_widths=tuple(
            sorted({padded_width(n, VARIED_WIDTH_STEP) for n in _widths(table.filter(has_own), "image")})
        ),
        patch_widths=_patch_widths(table) if has_patches(metadata) else (),
        embedding_widths=_embedding_widths(table) if has_embedding(metadata) else (),
        seconds={stage: float(seconds.get(stage, 0.0)) for stage in STAGES},
    )


def _widths(table: pa.Table, modality: str) -> tuple[int, ...]:
    return _lengths(table.filter(pc.equal(table["modality"], modality))["map"])


def _patch_widths(table: pa.Table) -> tuple[int, ...]:
    """Widths d of the stored patches: every list of states holds d values per patch, and d for the rest."""
    patches, values = (
        pc.list_value_length(table[name]).fill_null(0).to_numpy() for name in ("patch_tokens", "patch_states")
    )
    widths, over = np.divmod(values, patches + 1)
    bad = np.flatnonzero((over != 0) | ((widths == 0) & (patches > 0)))
    if len(bad):
        row = int(bad[0])
        raise StoreError(
            f"sample {table['sample_id'][row]} has {values[row]} values in patch_states for {patches[row]} patches and "
            "the rest, which is no whole number each; nothing was written"
        )
    return tuple(int(width) for width in np.unique(widths) if width)


def _embedding_widths(table: pa.Table) -> tuple[int, ...]:
    """Widths of the embeddings; a picture or a text has one, whatever was explained of it."""
    given = table.filter(pc.greater(pc.list_value_length(table["embedding"]).fill_null(0), 0))
    counts = given.group_by(["sample_id", "modality"]).aggregate([([], "count_all")])
    twice = counts.filter(pc.greater(counts["count_all"], 1)).slice(0, 1).to_pylist()
    if twice:
        sample_id, modality, count = (twice[0][name] for name in ("sample_id", "modality", "count_all"))
        raise StoreError(
            f"sample {sample_id}, modality {modality!r}, has {count} embeddings; give it with one target only; "
            "nothing was written"
        )
    return _lengths(given["embedding"])


def _lengths(lists: pa.ChunkedArray) -> tuple[int, ...]:
    """The lengths that occur among non-empty lists."""
    lengths = pc.unique(pc.list_value_length(lists)).to_pylist()
    return tuple(sorted(length for length in lengths if length))


def checked_failures(failures: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Failures as they are stored: sample_id, uri, reason."""
    stored = []
    for failure in failures:
        missing = {"sample_id", "uri", "reason"} - set(failure)
        if missing:
            raise StoreError(f"failure {dict(failure)!r} lacks {', '.join(sorted(missing))}; nothing was written")
        stored.append(
            {
                "sample_id": int(failure["sample_id"]),
                "uri": str(failure["uri"]),
                "reason": str(failure["reason"]),
            }
        )
    return tuple(stored)


def _row_group_rows(table: pa.Table) -> int:
    """Rows that are read together."""
    if not table.num_rows:
        return ROW_GROUP_ROWS
    return min(ROW_GROUP_ROWS, max(1, ROW_GROUP_BYTES * table.num_rows // max(table.nbytes, 1)))


def encode(table: pa.Table) -> memoryview:
    """The Parquet file of a part. Parts are small, so it is made in memory and written in one go."""
    sink = pa.BufferOutputStream()
    repeated = [_leaf(field) for field in table.schema if not _holds_floats(field.type)]
    pq.write_table(table, sink, row_group_size=_row_group_rows(table), compression="zstd", use_dictionary=repeated)
    return memoryview(sink.getvalue())


def _leaf(field: pa.Field) -> str:
    """What Parquet calls the values of a column."""
    return f"{field.name}.list.element" if pa.types.is_list(field.type) else str(field.name)


def _holds_floats(kind: pa.DataType) -> bool:
    """Numbers that hardly ever come twice: a dictionary of them takes three times as long and more room."""
    return bool(pa.types.is_floating(kind.value_type if pa.types.is_list(kind) else kind))
