"""What can be filtered and sorted by, and which values there are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from storage.columns import Column, Group, Kind
from storage.errors import StoreError
from storage.pieces import Piece
from storage.queries.catalog import run_explanation_columns, run_sample_columns
from storage.queries.filters import Place, place
from storage.reader import RunReader
from storage.tables import identifier

# A text column of the metadata with at most this many values is a category.
CATEGORY_VALUES = 100


@dataclass(frozen=True)
class ColumnInfo:
    """A column that queries may name.

    `unit` and `description` are for people; `filled` counts the values that are not empty.
    """

    name: str
    kind: Kind
    description: str
    group: Group
    unit: str
    sql_type: str
    filled: int


def columns(reader: RunReader) -> dict[str, ColumnInfo]:
    """Every column a filter or a sort may name, in display order."""
    return reader.remember("columns", lambda: _describe(reader))


def _describe(reader: RunReader) -> dict[str, ColumnInfo]:
    """Kinds of the fixed columns are given; those of metadata depend on the values."""
    described = {}
    for table, group in (("samples", run_sample_columns(reader)), ("explanations", run_explanation_columns(reader))):
        filled = filled_values(reader, table)
        for column in (column for column in group if column.kind is not None):
            described[column.name] = ColumnInfo(
                column.name,
                _kind(reader, column),
                column.meaning,
                column.group,
                column.unit,
                column.sql_type,
                filled[column.name],
            )
    return described


def _kind(reader: RunReader, column: Column) -> Kind:
    """A text of the metadata is a category while it has few values."""
    assert column.kind is not None  # _describe leaves the others out
    if column.group != "metadata" or not pa.types.is_string(column.type):
        return column.kind
    return "category" if 0 < _distinct(reader, column.name) <= CATEGORY_VALUES else column.kind


def _distinct(reader: RunReader, name: str) -> int:
    """How many values a text of the samples has; more than a category may have are not counted to the end."""
    values = f"s.{identifier(name)}"
    most = CATEGORY_VALUES + 1
    few = f"SELECT DISTINCT {values} AS v FROM samples s WHERE {values} IS NOT NULL LIMIT {most}"
    (row,) = reader.spread(few, outer="SELECT count(DISTINCT v) AS n FROM {}").to_pylist()
    return int(row["n"])


def filled_values(reader: RunReader, table: str) -> dict[str, int]:
    """How many values each column of `samples` or `explanations` has."""
    group = run_sample_columns(reader) if table == "samples" else run_explanation_columns(reader)
    return reader.remember(("filled", table), lambda: _filled(reader, table, group))


def _filled(reader: RunReader, table: str, group: list[Column]) -> dict[str, int]:
    """Count values. Sealed segments are counted once: they never change."""
    counts = ", ".join(f"count({identifier(column.name)})" for column in group)
    columns = [(column.name, column.sql_type) for column in group]

    def count(cursor: duckdb.DuckDBPyConnection) -> list[tuple[int, ...]]:
        return [counted(piece, cursor) for piece in reader.pieces.all()]

    def counted(piece: Piece, cursor: duckdb.DuckDBPyConnection) -> tuple[int, ...]:
        key = ("filled", table, piece.name)
        if piece.name and key in reader.facts:
            return reader.facts[key]
        row: tuple[int, ...] = cursor.execute(f"SELECT {counts} FROM ({piece.select(table, columns)})").fetchall()[0]
        if piece.name:
            reader.facts[key] = row
        return row

    rows = reader.retrying(count)
    return {column.name: sum(row[i] for row in rows) for i, column in enumerate(group)}


def _from(where: Place) -> str:
    """The one table a column is in."""
    return "samples s" if where.in_samples else "explanations e"


def category_values(reader: RunReader, column: str, limit: int = 200) -> list[dict[str, Any]]:
    """The most frequent values of a column, `{"value", "n"}`; empty ones are left out.

    `n` counts samples, for columns of `explanations` it counts explanations.
    """
    where = place(reader, column)
    if pa.types.is_list(where.column.type):
        raise StoreError(f"column {column!r} is a list and has no categories")
    values = f"SELECT {where.sql} AS value, count(*) AS n FROM {_from(where)} WHERE {where.sql} IS NOT NULL GROUP BY 1"
    most = f"SELECT value, sum(n)::BIGINT AS n FROM {{}} GROUP BY 1 ORDER BY n DESC, value LIMIT {int(limit)}"
    return reader.remember(
        ("category_values", column, int(limit)), lambda: reader.spread(values, outer=most).to_pylist()
    )


def number_range(reader: RunReader, column: str, target: str | None = None) -> tuple[float, float] | None:
    """Lowest and highest finite value of a number column; None when it has none.

    Of a column of `explanations` those of one target, if it is named: scores of different targets do not compare.
    """
    where = number_place(reader, column)
    of_target = target is not None and not where.in_samples

    def ask() -> tuple[float, float] | None:
        (row,) = reader.spread(
            f"SELECT min({where.sql}) AS low, max({where.sql}) AS high FROM {_from(where)} "
            f"WHERE isfinite({where.sql}::DOUBLE){' AND e.target = ?' if of_target else ''}",
            [target] if of_target else [],
            outer="SELECT min(low) AS low, max(high) AS high FROM {}",
        ).to_pylist()
        if row["low"] is None or not math.isfinite(row["low"]):
            return None
        return row["low"], row["high"]

    return reader.remember(("number_range", column, target if of_target else None), ask)


def number_place(reader: RunReader, column: str) -> Place:
    """The column, which must hold numbers."""
    where = place(reader, column)
    if not (pa.types.is_integer(where.column.type) or pa.types.is_floating(where.column.type)):
        raise StoreError(f"column {column!r} holds {where.column.sql_type} values, not numbers")
    return where


def targets(reader: RunReader) -> list[dict[str, Any]]:
    """What was explained on which input: `{"target", "modality", "n"}`, most frequent first."""
    counted = "SELECT e.target AS target, e.modality AS modality, count(*) AS n FROM explanations e GROUP BY 1, 2"
    total = "SELECT target, modality, sum(n)::BIGINT AS n FROM {} GROUP BY 1, 2 ORDER BY n DESC, modality, target"
    return reader.remember("targets", lambda: reader.spread(counted, outer=total).to_pylist())
