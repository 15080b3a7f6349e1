"""The Arrow schema of a run's parts, and which free metadata columns a run may have."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from storage.columns import (
    EXPLANATION_COLUMNS,
    FAILURE_COLUMNS,
    METADATA_TYPES,
    PART_ONLY_COLUMNS,
    ROLLUP_COLUMNS,
    SAMPLE_COLUMNS,
    Column,
    Kind,
)
from storage.errors import StoreError, suggest

SCHEMA_VERSION = 4
TEXT_WIDTH_STEP = 16
VARIED_WIDTH_STEP = 64

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")
RESERVED = frozenset(
    column.name
    for column in (
        *SAMPLE_COLUMNS,
        *EXPLANATION_COLUMNS,
        *PART_ONLY_COLUMNS,
        *FAILURE_COLUMNS,
        *ROLLUP_COLUMNS,
    )
) | {"vec", "n_valid", "rowid", "filename", "page", "sort"}


# Columns that came after schema 1. An earlier run may have metadata of such a name: there it goes on meaning that.
LATER = frozenset(c.name for c in (*SAMPLE_COLUMNS, *EXPLANATION_COLUMNS, *PART_ONLY_COLUMNS) if c.since > 1)


def is_version(value: object) -> bool:
    """Whether this is a schema version as files name it: a whole number from 1 on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def metadata_column_names(names: Sequence[str]) -> list[str]:
    """SQL-friendly column names for free metadata names, in order; never reserved, never twice the same.

    `"Shot at (UTC)"` becomes `shot_at_utc`, `"label"` (a column of the store) becomes `meta_label`.
    """
    taken = set(RESERVED)
    columns = []
    for name in names:
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
        base = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:48] or "column"
        if base[0].isdigit() or base in RESERVED:
            base = f"meta_{base}"
        column, number = base, 2
        while column in taken:
            column, number = f"{base}_{number}", number + 1
        taken.add(column)
        columns.append(column)
    return columns


def metadata_columns(metadata: Iterable[Mapping[str, Any]]) -> list[Column]:
    """The metadata columns of a run as `Column`s; StoreError for a bad name or type."""
    columns: list[Column] = []
    seen: set[str] = set()
    for entry in metadata:
        column = _metadata_column(entry)
        if column.name in seen:
            raise StoreError(f"metadata column {column.name!r} is named twice; nothing was written")
        seen.add(column.name)
        columns.append(column)
    return columns


def _metadata_column(entry: Mapping[str, Any]) -> Column:
    """One checked metadata column of `{"name": ..., "column": ..., "type": ...}`."""
    missing = {"name", "column", "type"} - set(entry)
    if missing:
        raise StoreError(f"metadata entry {dict(entry)!r} lacks {', '.join(sorted(missing))}; nothing was written")
    name, column, kind = str(entry["name"]), str(entry["column"]), str(entry["type"])
    if column in RESERVED - LATER:
        raise StoreError(f"metadata column {column!r} has the name of a column of the store; call it meta_{column}")
    if not _IDENTIFIER.fullmatch(column):
        raise StoreError(f"metadata column {column!r} is not a plain name (lower-case letters, digits, _)")
    if kind not in METADATA_TYPES:
        raise StoreError(f"metadata column {column!r} has unknown type {kind!r}{suggest(kind, METADATA_TYPES)}")
    filter_kinds: dict[str, Kind] = {"bool": "bool", "string": "text"}
    return Column(
        column,
        METADATA_TYPES[kind],
        "as given",
        f"Metadata column {name!r} of the dataset.",
        "metadata",
        filter_kinds.get(kind, "number"),
    )


def sample_columns(metadata: Iterable[Mapping[str, Any]]) -> list[Column]:
    """Columns of the `samples` table of a run: the fixed ones, then the metadata."""
    metadata = list(metadata)
    return [*_fixed(SAMPLE_COLUMNS, metadata), *metadata_columns(metadata)]


def explanation_columns(metadata: Iterable[Mapping[str, Any]]) -> list[Column]:
    """Columns of the `explanations` table of a run besides sample_id."""
    return _fixed(EXPLANATION_COLUMNS, metadata)


def _fixed(columns: Iterable[Column], metadata: Iterable[Mapping[str, Any]]) -> list[Column]:
    """The columns whose names the run's metadata has not taken (see LATER)."""
    taken = {entry.get("column") for entry in metadata}
    return [column for column in columns if column.name not in taken or column.name not in LATER]


def part_columns(metadata: Iterable[Mapping[str, Any]]) -> list[Column]:
    """Columns of a part, in order: sample, metadata, explanation, vectors."""
    metadata = list(metadata)
    return [*sample_columns(metadata), *explanation_columns(metadata), *_fixed(PART_ONLY_COLUMNS, metadata)]


def part_schema(metadata: Iterable[Mapping[str, Any]]) -> pa.Schema:
    """The Arrow schema of a part: one row per (sample_id, target, modality).

    `metadata` is the list `[{"name", "column", "type"}]` of the run's dataset. Raises StoreError.
    """
    return pa.schema([pa.field(c.name, c.type, nullable=not c.required) for c in part_columns(metadata)])


def padded_width(values: int, step: int = TEXT_WIDTH_STEP) -> int:
    """Width of the table a map of this many values lies in: the next multiple of `step`, 16 for texts."""
    return max(1, -(-values // step)) * step


def has_patches(metadata: Iterable[Mapping[str, Any]]) -> bool:
    """Whether parts have the columns of patches; not in a run whose metadata has taken one of their names."""
    return not {"patch_tokens", "patch_states"} & {entry["column"] for entry in metadata}


def has_embedding(metadata: Iterable[Mapping[str, Any]]) -> bool:
    """Whether parts have the column of embeddings; not in a run whose metadata has taken its name."""
    return "embedding" not in {entry["column"] for entry in metadata}


def varied(metadata: Iterable[Mapping[str, Any]]) -> list[str]:
    """Columns of a part that mark a map with a number of values of its own: over regions, or a detection's."""
    own = {column.name for column in part_columns(metadata)} - {entry["column"] for entry in metadata}
    return [name for name in ("regions", "query") if name in own]
