"""SQL: the views a reader offers, sealed segments united with the parts that are not sealed yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from storage.layout import RunLayout
from storage.manifests import Contents, SegmentManifest, Snapshot, total
from storage.record import RunRecord
from storage.tables import (
    Columns,
    identifier,
    merged_rollup,
    part_selects,
    part_source,
    patch_selects,
    rollup_select,
    table_columns,
)

TAIL_FAILURES = "tail_failures"
# catalog alias of a segment -> table -> names of its columns
Catalog = Mapping[str, Mapping[str, set[str]]]


def segment_alias(segment: SegmentManifest) -> str:
    """Name under which a segment is attached; differs when a lost segment's number is used again."""
    return f"segment_{segment.segment:04d}_{''.join(filter(str.isdigit, segment.sealed_at))}"


def view_statements(run: RunLayout, record: RunRecord, snapshot: Snapshot, catalog: Catalog) -> list[str]:
    """CREATE OR REPLACE VIEW for every table of the run, also for those that are still empty."""
    selects = view_selects(run, record, snapshot, catalog)
    return [f"CREATE OR REPLACE VIEW {name} AS {select}" for name, select in selects.items()]


def view_selects(run: RunLayout, record: RunRecord, snapshot: Snapshot, catalog: Catalog) -> dict[str, str]:
    """The SELECT of every view by its name."""
    tail = total(part.contents for part in snapshot.tail)
    selects: dict[str, str] = {}
    if snapshot.tail:
        source = part_source(run, snapshot.tail, record.metadata)
        selects = part_selects(source, tail, record.metadata) | patch_selects(source, tail, record.metadata)
        selects["rollup_class"] = rollup_select(source, record.metadata)
    selects["failures"] = f"SELECT * FROM {TAIL_FAILURES}"
    tables = table_columns(_with_grid(snapshot.contents, record), record.metadata)
    return {name: _union(name, columns, catalog, selects.get(name)) for name, columns in tables.items()}


def _with_grid(contents: Contents, record: RunRecord) -> Contents:
    """An empty run already has the (empty) image map table of its model."""
    grid = record.model.get("grid")
    if contents.image_widths or contents.varied_widths or not grid:
        return contents
    return replace(contents, image_widths=(int(grid[0]) * int(grid[1]),))


def _union(table: str, columns: Columns, catalog: Catalog, tail: str | None) -> str:
    """One table over all segments that have it, plus the tail."""
    sources = [
        _select(columns, f"{alias}.{table}", tables[table]) for alias, tables in catalog.items() if table in tables
    ]
    if tail is not None:
        sources.append(_select(columns, f"({tail})", {name for name, _ in columns}))
    if not sources:
        return _empty(columns)
    union = " UNION ALL ".join(sources)
    if table == "rollup_class" and len(sources) > 1:
        return _select(columns, f"({merged_rollup(union)})", {name for name, _ in columns})
    return union


def _select(columns: Columns, source: str, present: set[str]) -> str:
    """All columns in order and type; those an older segment lacks are NULL."""
    wanted = [
        f"{identifier(name) if name in present else 'NULL'}::{kind} AS {identifier(name)}" for name, kind in columns
    ]
    return f"SELECT {', '.join(wanted)} FROM {source}"


def _empty(columns: Columns) -> str:
    nothing = ", ".join(f"NULL::{kind} AS {identifier(name)}" for name, kind in columns)
    return f"SELECT {nothing} WHERE false"
