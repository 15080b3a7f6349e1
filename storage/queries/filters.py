"""Which samples, in which order: a frozen selection and its SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from storage.columns import Column
from storage.errors import StoreError, UnknownColumn, suggest
from storage.queries.catalog import run_explanation_columns, run_sample_columns
from storage.reader import RunReader
from storage.tables import identifier

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
SEARCHED = ("text", "uri", "label", "predicted")
OPERATORS = ("eq", "ne", "in", "between", "contains", "is_null", "not_null")


@dataclass(frozen=True)
class Filter:
    """One condition on one column.

    `value` by operator: eq, ne: a value (None means empty); in: a tuple of values (None allowed); between:
    (low, high), both included, None for an open end; contains: part of a text, upper and lower case alike;
    is_null, not_null: ignored. `ne` keeps samples whose value is empty.
    """

    column: str
    op: str
    value: Any = None

    def __post_init__(self) -> None:
        """Lists become tuples (a filter is a dictionary key); StoreError for an unknown operator."""
        if self.op not in OPERATORS:
            raise StoreError(f"unknown filter operator {self.op!r}{suggest(self.op, OPERATORS)}")
        if isinstance(self.value, list | set | frozenset):
            object.__setattr__(self, "value", tuple(self.value))


@dataclass(frozen=True)
class SampleQuery:
    """The samples that have an explanation of `target` on `modality` and pass all filters, sorted.

    Empty values come last in both directions, equal ones are ordered by sample_id. Every word of `search` must occur
    in the text, the file name, the label or the prediction, upper and lower case alike. `sets` are names that
    `RunReader.sets.keep` gave to sets of sample ids; a sample must be in all of them.
    """

    target: str
    modality: str = "image"
    filters: tuple[Filter, ...] = ()
    sort: str = "sample_id"
    descending: bool = False
    search: str = ""
    sets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Lists become tuples, so that the selection can be a dictionary key."""
        object.__setattr__(self, "filters", tuple(self.filters))
        object.__setattr__(self, "sets", tuple(self.sets))


@dataclass(frozen=True)
class Condition:
    """A piece of SQL and the values for its question marks, in order."""

    sql: str
    params: tuple[Any, ...] = ()

    def __and__(self, other: Condition) -> Condition:
        """Both."""
        return Condition(f"{self.sql} AND {other.sql}", self.params + other.params)


@dataclass(frozen=True)
class Place:
    """A whitelisted column and how SQL names it: `s.` for samples, `e.` for explanations."""

    column: Column
    sql: str

    @property
    def in_samples(self) -> bool:
        """Whether the samples table is needed to see it."""
        return self.sql.startswith("s.")


def place(reader: RunReader, name: str, *, filterable: bool = True) -> Place:
    """Where a column is; UnknownColumn suggests the nearest name."""
    places = reader.remember("places", lambda: _places(reader))
    found = places.get(name)
    if found is None or (filterable and found.column.kind is None):
        known = [key for key, value in places.items() if value.column.kind is not None]
        raise UnknownColumn(f"run {reader.record.run_id!r} has no column {name!r}{suggest(name, known, limit=60)}")
    return found


def _places(reader: RunReader) -> dict[str, Place]:
    found = {c.name: Place(c, f"e.{identifier(c.name)}") for c in run_explanation_columns(reader)}
    for column in run_sample_columns(reader):
        found[column.name] = Place(column, f"s.{identifier(column.name)}")
    key = found["sample_id"].column
    return {**found, "sample_id": Place(key, "e.sample_id")}


def source(reader: RunReader, query: SampleQuery, *extra: str) -> tuple[str, tuple[Any, ...]]:
    """`FROM ... WHERE ...` of a selection and its values; joins samples only when a column needs it.

    `extra` names columns that the caller's SELECT uses besides the filters and the sort.
    """
    condition = Condition("e.target = ? AND e.modality = ?", (query.target, query.modality))
    names = [query.sort, *extra]
    for item in query.filters:
        condition = condition & filter_condition(place(reader, item.column), item)
        names.append(item.column)
    for name in query.sets:
        condition = condition & Condition(f"e.sample_id IN (SELECT sample_id FROM {reader.sets.table(name)})")
    for word in query.search.split():
        condition = condition & _found(reader, word)
        names.append("uri")
    joined = any(place(reader, name).in_samples for name in names)
    tables = "explanations e" + (" JOIN samples s ON s.sample_id = e.sample_id" if joined else "")
    return f"FROM {tables} WHERE {condition.sql}", condition.params


def _found(reader: RunReader, word: str) -> Condition:
    """A word occurs anywhere in what people would search."""
    columns = [place(reader, name, filterable=False).sql for name in SEARCHED]
    return Condition(f"contains(lower(concat_ws(' ', {', '.join(columns)})), lower(?))", (word,))


def order_by(reader: RunReader, query: SampleQuery) -> str:
    """`ORDER BY ...` with a unique tiebreak."""
    column = place(reader, query.sort)
    direction = "DESC" if query.descending else "ASC"
    if query.sort == "sample_id":
        return f"ORDER BY e.sample_id {direction}"
    return f"ORDER BY {column.sql} {direction} NULLS LAST, e.sample_id"


def filter_condition(where: Place, item: Filter) -> Condition:
    """The SQL of one filter."""
    column, sql = where.column, where.sql
    if item.op == "is_null" or (item.op == "eq" and item.value is None):
        return Condition(f"{sql} IS NULL")
    if item.op == "not_null" or (item.op == "ne" and item.value is None):
        return Condition(f"{sql} IS NOT NULL")
    if item.op == "contains":
        return _contains(column, sql, item)
    if pa.types.is_list(column.type):
        raise StoreError(f"column {column.name!r} is a list; it can be filtered with 'contains', 'is_null', 'not_null'")
    if item.op == "in":
        return _in(column, sql, _several(item))
    if item.op == "between":
        return _between(column, sql, item)
    operator = "=" if item.op == "eq" else "IS DISTINCT FROM"
    return Condition(f"{sql} {operator} {_bound(column)}", (_value(column, item.value),))


def _contains(column: Column, sql: str, item: Filter) -> Condition:
    """Part of a text, or of the words of a list."""
    if column.kind not in ("text", "category"):
        raise StoreError(f"column {column.name!r} is no text; 'contains' works on text columns")
    text = f"array_to_string({sql}, ' ')" if pa.types.is_list(column.type) else f"{sql}::VARCHAR"
    return Condition(f"contains(lower({text}), lower(?))", (str(item.value),))


def _several(item: Filter) -> tuple[Any, ...]:
    if not isinstance(item.value, tuple):
        raise StoreError(f"filter on {item.column!r} with {item.op!r} needs several values, not {item.value!r}")
    return item.value


def _in(column: Column, sql: str, values: tuple[Any, ...]) -> Condition:
    """One of several values; None stands for empty."""
    given = [_value(column, value) for value in values if value is not None]
    either = [f"{sql} IN ({', '.join([_bound(column)] * len(given))})"] if given else []
    if None in values:
        either.append(f"{sql} IS NULL")
    return Condition(f"({' OR '.join(either)})" if either else "false", tuple(given))


def _between(column: Column, sql: str, item: Filter) -> Condition:
    """A closed interval, either end may be open."""
    values = _several(item)
    if len(values) != 2:
        raise StoreError(f"filter on {item.column!r} with 'between' needs (low, high), not {item.value!r}")
    ends = [(sign, value) for sign, value in zip((">=", "<="), values, strict=True) if value is not None]
    if not ends:
        return Condition(f"{sql} IS NOT NULL")
    parts = [f"{sql} {sign} {_bound(column)}" for sign, _ in ends]
    return Condition(" AND ".join(parts), tuple(_value(column, value) for _, value in ends))


def _bound(column: Column) -> str:
    """A bound value in the column's own type: 0.3 compares equal to a stored 32-bit 0.3."""
    if pa.types.is_integer(column.type):
        return "?"  # 2.5 is a fine bound for whole numbers
    return f"CAST(? AS {column.sql_type})"


def _value(column: Column, value: Any) -> Any:
    """The Python value for a column; numbers and booleans may come as text, as in a URL."""
    try:
        if pa.types.is_boolean(column.type):
            return _boolean(value)
        if pa.types.is_integer(column.type):
            return value if isinstance(value, int) else _whole(float(value))
        return float(value) if pa.types.is_floating(column.type) else str(value)
    except (TypeError, ValueError, OverflowError):
        raise StoreError(f"column {column.name!r} holds {column.sql_type} values; {value!r} is none") from None


def _whole(number: float) -> int | float:
    return int(number) if number.is_integer() else number


def _boolean(value: Any) -> bool:
    word = str(value).lower()
    if word not in _BOOLEANS:
        raise ValueError(value)
    return _BOOLEANS[word]
