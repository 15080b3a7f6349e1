"""Single samples: pages of a selection, one sample, the one before and the one after."""

from __future__ import annotations

from typing import Any

from storage.errors import StoreError
from storage.queries.catalog import run_explanation_columns, run_sample_columns
from storage.queries.filters import SampleQuery, order_by, place, source
from storage.reader import RunReader
from storage.tables import identifier


def count(reader: RunReader, query: SampleQuery) -> int:
    """How many samples a selection has."""
    tables, params = source(reader, query)
    return int(reader.query(f"SELECT count(*) AS n {tables}", params)[0]["n"])


def page(reader: RunReader, query: SampleQuery, page: int = 1, size: int = 24) -> list[dict[str, Any]]:
    """Page number `page` (from 1) of a selection: all columns of `samples` and `explanations`, in order.

    Ids are found first and joined then, so that only `size` rows are ever widened.
    """
    if page < 1 or size < 1:
        raise StoreError(f"page {page} of size {size} does not exist; both count from 1")
    tables, params = source(reader, query)
    rows = reader.query(
        f"SELECT e.sample_id {tables} {order_by(reader, query)} LIMIT ? OFFSET ?",
        [*params, int(size), (int(page) - 1) * int(size)],
    )
    return _widened(reader, [row["sample_id"] for row in rows], query)


def _widened(reader: RunReader, ids: list[int], query: SampleQuery) -> list[dict[str, Any]]:
    """All columns of some samples, in the order of `ids`."""
    if not ids:
        return []
    wanted = [f"s.{identifier(c.name)}" for c in run_sample_columns(reader)]
    wanted += [f"e.{identifier(c.name)}" for c in run_explanation_columns(reader)]
    values = ", ".join(f"({row}, {int(sample_id)})" for row, sample_id in enumerate(ids))
    return reader.query(
        f"SELECT {', '.join(wanted)} FROM (VALUES {values}) k(row, sample_id) "
        "JOIN samples s ON s.sample_id = k.sample_id "
        "JOIN explanations e ON e.sample_id = k.sample_id AND e.target = ? AND e.modality = ? ORDER BY k.row",
        [query.target, query.modality],
    )


def sample(reader: RunReader, sample_id: int) -> dict[str, Any]:
    """`{"sample": {...}, "explanations": [{...}]}`; StoreError tells a skipped sample from an unknown one."""
    key = [int(sample_id)]
    found = reader.query("SELECT * FROM samples WHERE sample_id = ?", key)
    if not found:
        failed = reader.query("SELECT uri, reason FROM failures WHERE sample_id = ?", key)
        if failed:
            raise StoreError(f"sample {sample_id} ({failed[0]['uri']}) was skipped: {failed[0]['reason']}")
        raise StoreError(f"run {reader.record.run_id!r} has no sample {sample_id} (yet)")
    rows = reader.query("SELECT * FROM explanations WHERE sample_id = ? ORDER BY target, modality", key)
    return {"sample": found[0], "explanations": rows}


def neighbours(reader: RunReader, query: SampleQuery, sample_id: int) -> tuple[int | None, int | None, int | None, int]:
    """(previous id, next id, position from 1, size) of a sample in a selection.

    A sample outside the selection has neither neighbours nor a position.
    """
    tables, params = source(reader, query)
    sort, key = place(reader, query.sort).sql, int(sample_id)
    (here,) = reader.query(
        f"SELECT count(*) AS total, count(*) FILTER (e.sample_id = ?) AS found, "
        f"any_value({sort}) FILTER (e.sample_id = ?) AS value {tables}",
        [key, key, *params],
    )
    if not here["found"]:
        return None, None, None, here["total"]
    before, after = _around(sort, query, here["value"])
    by_id = query.sort == "sample_id" or here["value"] is None
    bound = [*params, key] if by_id else [*params, here["value"], here["value"], key]
    (around,) = reader.query(
        f"SELECT (SELECT count(*) {tables} AND {before}) AS rank, "
        f"(SELECT e.sample_id {tables} AND {before} {_reversed(sort, query)} LIMIT 1) AS previous, "
        f"(SELECT e.sample_id {tables} AND {after} {order_by(reader, query)} LIMIT 1) AS next",
        bound * 3,
    )
    return around["previous"], around["next"], around["rank"] + 1, here["total"]


def _around(sort: str, query: SampleQuery, value: Any) -> tuple[str, str]:
    """Conditions for 'comes before' and 'comes after' a sample with this value.

    To be bound: value, value, id; only id when sorted by id or when the value is empty.
    """
    less, more = ("<", ">") if not query.descending else (">", "<")
    if query.sort == "sample_id":
        return f"e.sample_id {less} ?", f"e.sample_id {more} ?"
    if value is None:  # empty values come last
        return f"({sort} IS NOT NULL OR e.sample_id < ?)", f"({sort} IS NULL AND e.sample_id > ?)"
    return (
        f"({sort} {less} ? OR ({sort} = ? AND e.sample_id < ?))",
        f"({sort} IS NULL OR {sort} {more} ? OR ({sort} = ? AND e.sample_id > ?))",
    )


def _reversed(sort: str, query: SampleQuery) -> str:
    """The order of the selection, backwards."""
    if query.sort == "sample_id":
        return f"ORDER BY e.sample_id {'ASC' if query.descending else 'DESC'}"
    return f"ORDER BY {sort} {'ASC' if query.descending else 'DESC'} NULLS FIRST, e.sample_id DESC"


def failures(reader: RunReader, page: int = 1, size: int = 50) -> list[dict[str, Any]]:
    """Skipped samples, `{"sample_id", "uri", "reason", "part"}`, by sample_id."""
    if page < 1 or size < 1:
        raise StoreError(f"page {page} of size {size} does not exist; both count from 1")
    return reader.query(
        "SELECT sample_id, uri, reason, part FROM failures ORDER BY sample_id, part LIMIT ? OFFSET ?",
        [int(size), (int(page) - 1) * int(size)],
    )
