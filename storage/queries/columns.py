"""What can be filtered and sorted by, and which values there are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from storage.columns import Column, Group, Kind
from storage.errors import StoreError
from storage.queries.catalog import run_explanation_columns, run_sample_columns
from storage.queries.filters import Place, place
from storage.reader import RunReader

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
        usable = [column for column in group if column.kind is not None]
        filled, distinct = _counts(reader, table, usable)
        for column in usable:
            described[column.name] = ColumnInfo(
                column.name,
                _kind(column, distinct.get(column.name)),
                column.meaning,
                column.group,
                column.unit,
                column.sql_type,
                filled[column.name],
            )
    return described


def _kind(column: Column, distinct: int | None) -> Kind:
    assert column.kind is not None  # _describe leaves the others out
    return "category" if distinct is not None and 0 < distinct <= CATEGORY_VALUES else column.kind


def _counts(reader: RunReader, table: str, group: list[Column]) -> tuple[dict[str, int], dict[str, int]]:
    """Per column the number of values, and for free texts the number of distinct values, in one scan."""
    texts = [c for c in group if c.group == "metadata" and pa.types.is_string(c.type)]
    select = [f'count("{c.name}")' for c in group] + [f'approx_count_distinct("{c.name}")' for c in texts]
    (row,) = reader.table(
        f"SELECT {', '.join(f'{sql} AS c{i}' for i, sql in enumerate(select))} FROM {table}"
    ).to_pylist()
    values = list(row.values())
    filled = {c.name: value for c, value in zip(group, values, strict=False)}
    return filled, {c.name: value for c, value in zip(texts, values[len(group) :], strict=True)}


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
    return reader.query(
        f"SELECT {where.sql} AS value, count(*) AS n FROM {_from(where)} WHERE {where.sql} IS NOT NULL "
        "GROUP BY value ORDER BY n DESC, value LIMIT ?",
        [int(limit)],
    )


def number_range(reader: RunReader, column: str, target: str | None = None) -> tuple[float, float] | None:
    """Lowest and highest finite value of a number column; None when it has none.

    Of a column of `explanations` those of one target, if it is named: scores of different targets do not compare.
    """
    where = number_place(reader, column)
    of_target = target is not None and not where.in_samples
    (row,) = reader.query(
        f"SELECT min({where.sql}) AS low, max({where.sql}) AS high FROM {_from(where)} "
        f"WHERE isfinite({where.sql}::DOUBLE){' AND e.target = ?' if of_target else ''}",
        [target] if of_target else [],
    )
    if row["low"] is None or not math.isfinite(row["low"]):
        return None
    return row["low"], row["high"]


def number_place(reader: RunReader, column: str) -> Place:
    """The column, which must hold numbers."""
    where = place(reader, column)
    if not (pa.types.is_integer(where.column.type) or pa.types.is_floating(where.column.type)):
        raise StoreError(f"column {column!r} holds {where.column.sql_type} values, not numbers")
    return where


def targets(reader: RunReader) -> list[dict[str, Any]]:
    """What was explained on which input: `{"target", "modality", "n"}`, most frequent first."""
    return reader.query(
        "SELECT target, modality, count(*) AS n FROM explanations GROUP BY ALL ORDER BY n DESC, modality, target"
    )
