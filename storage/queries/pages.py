"""Single samples: pages of a selection, one sample, the one before and the one after."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from storage.errors import StoreError
from storage.queries.columns import filled_values
from storage.queries.filters import SampleQuery, place
from storage.queries.order import ids_at, order, size
from storage.queries.steady import steady
from storage.reader import RunReader

KEYS = ("sample_id", "target", "modality")


@steady
def count(reader: RunReader, query: SampleQuery) -> int:
    """How many samples a selection has."""
    place(reader, query.sort)
    return size(reader, query)


@steady
def page(
    reader: RunReader, query: SampleQuery, page: int = 1, size: int = 24, columns: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """Page number `page` (from 1) of a selection: the columns of `samples` and `explanations`, in order.

    The order is made once, or only its front (see `storage.queries.order`); only `size` rows are ever widened.
    `columns` names those that are read (None: all), which is what most of the time goes with; the others are None.
    """
    if page < 1 or size < 1:
        raise StoreError(f"page {page} of size {size} does not exist; both count from 1")
    start = (int(page) - 1) * int(size)
    return widened(reader, ids_at(reader, query, start, start + int(size)), query, columns)


def widened(
    reader: RunReader, ids: list[int], query: SampleQuery, columns: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """Columns of some samples, in the order of `ids`; those that the target has no explanation of are left out."""
    if not ids:
        return []
    which = ("target = ? AND modality = ?", (query.target, query.modality))
    with ThreadPoolExecutor(1) as other:  # planning a lookup in many segments keeps one core busy, and there are two
        later = other.submit(reader.rows_of, "samples", ids, empty=_unread(reader, "samples", columns))
        explained = reader.rows_of("explanations", ids, *which, empty=_unread(reader, "explanations", columns))
        samples = later.result()
    sample_of, explanation_of = ({row["sample_id"]: row for row in rows} for rows in (samples, explained))
    return [{**sample_of[i], **explanation_of[i]} for i in ids if i in sample_of and i in explanation_of]


def _unread(reader: RunReader, table: str, columns: Collection[str] | None) -> frozenset[str]:
    """Columns without any value, and those that nobody asked for; keys are always read."""
    empty = frozenset(name for name, n in filled_values(reader, table).items() if not n)
    if columns is None:
        return empty
    asked = {*KEYS, *columns}
    return empty | {name for name, _ in reader.pieces.columns.get(table, []) if name not in asked}


def sample(reader: RunReader, sample_id: int) -> dict[str, Any]:
    """`{"sample": {...}, "explanations": [{...}]}`; StoreError tells a skipped sample from an unknown one."""
    key = [int(sample_id)]
    found = reader.rows_of("samples", key)
    if not found:
        failed = reader.query("SELECT uri, reason FROM failures WHERE sample_id = ?", key)
        if failed:
            raise StoreError(f"sample {sample_id} ({failed[0]['uri']}) was skipped: {failed[0]['reason']}")
        raise StoreError(f"run {reader.record.run_id!r} has no sample {sample_id} (yet)")
    rows = sorted(reader.rows_of("explanations", key), key=lambda row: (row["target"], row["modality"]))
    return {"sample": found[0], "explanations": rows}


@steady
def neighbours(reader: RunReader, query: SampleQuery, sample_id: int) -> tuple[int | None, int | None, int | None, int]:
    """(previous id, next id, position from 1, size) of a sample in a selection.

    A sample outside the selection has neither neighbours nor a position.
    """
    found = order(reader, query)
    here = found.place_of(int(sample_id))
    if here is None:
        return None, None, None, len(found)
    before, after = found.slice(max(here - 1, 0), here), found.slice(here + 1, here + 2)
    return next(iter(before), None), next(iter(after), None), here + 1, len(found)


def failures(reader: RunReader, page: int = 1, size: int = 50) -> list[dict[str, Any]]:
    """Skipped samples, `{"sample_id", "uri", "reason", "part"}`, by sample_id."""
    if page < 1 or size < 1:
        raise StoreError(f"page {page} of size {size} does not exist; both count from 1")
    return reader.query(
        "SELECT sample_id, uri, reason, part FROM failures ORDER BY sample_id, part LIMIT ? OFFSET ?",
        [int(size), (int(page) - 1) * int(size)],
    )
