"""A selection as an array: which samples, in which order. Made once, it answers pages, places and neighbours at once.

Every filter is one scan of the table its column is in, kept as a mask; every sort is one scan and one sort, whatever
the filters. Both are kept in the memory of the reader until the run changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.queries.filters import SEARCHED, Filter, SampleQuery, filter_condition, place
from storage.queries.texts import holding, keeps_texts, repeats
from storage.queries.values import Ids, Mask, Values, column_values, explained, marked, scan
from storage.reader import RunReader

FRONT = 240  # places: five pages of 48
Rows = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Order:
    """A sorted selection: `rows` are positions in `explained`, the ascending ids of all samples of the target."""

    explained: Ids
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ids(self) -> Ids:
        """All sample ids in order."""
        return self.explained[self.rows]

    def slice(self, start: int, stop: int) -> list[int]:
        """The sample ids at some places, from 0."""
        return self.explained[self.rows[start:stop]].tolist()

    def place_of(self, sample_id: int) -> int | None:
        """Where a sample is, from 0; None when it is not in the selection."""
        row = int(np.searchsorted(self.explained, sample_id))
        if row == len(self.explained) or self.explained[row] != sample_id:
            return None
        places = np.flatnonzero(self.rows == row)
        return int(places[0]) if len(places) else None


def ids(reader: RunReader, query: SampleQuery) -> Ids:
    """The ids of all samples of a selection, in its order."""
    return order(reader, query).ids


def order(reader: RunReader, query: SampleQuery) -> Order:
    """The selection in its order."""
    everything = explained(reader, query.target, query.modality)
    if not _narrows(query):
        return Order(everything, _sorted(reader, query))

    def make() -> Rows:
        mask, rows = _selected(reader, query), _sorted(reader, query)
        return rows[mask[rows]]

    return Order(everything, reader.keep(_order_key(query), make))


def ids_at(reader: RunReader, query: SampleQuery, start: int, stop: int) -> list[int]:
    """The sample ids at some places of a selection, from 0.

    To sort a million values takes a tenth of a second, texts a whole one: near the front of an order that nobody asked
    for yet only what is asked for is picked out.
    """
    known = query.sort == "sample_id" or reader.keeps(_key(query)) or reader.keeps(_order_key(query))
    if stop <= FRONT and not known:
        rows = _front(reader, query)
        if rows is not None:
            return explained(reader, query.target, query.modality)[rows[start:stop]].tolist()
    return order(reader, query).slice(start, stop)


def size(reader: RunReader, query: SampleQuery) -> int:
    """How many samples a selection has; nothing is sorted for it."""
    mask = selected(reader, query)
    return len(explained(reader, query.target, query.modality)) if mask is None else int(np.count_nonzero(mask))


def selected(reader: RunReader, query: SampleQuery) -> Mask | None:
    """Which samples of `explained` pass all filters; None when there are none."""
    return _selected(reader, query) if _narrows(query) else None


def _narrows(query: SampleQuery) -> bool:
    return bool(query.filters or query.sets or query.search.split())


# -- which samples -------------------------------------------------------------------------------------------


def _selected(reader: RunReader, query: SampleQuery) -> Mask:
    """All filters, sets and words together."""
    everything = explained(reader, query.target, query.modality)
    masks = [_passing(reader, query, item) for item in query.filters]
    masks += [_members(reader, query, name) for name in query.sets]
    masks += [_found(reader, query, word.lower()) for word in query.search.split()]
    return np.logical_and.reduce(masks) if len(masks) > 1 else masks[0] if masks else np.ones(len(everything), bool)


def _passing(reader: RunReader, query: SampleQuery, item: Filter) -> Mask:
    """The samples that pass one filter: a scan of the one table its column is in."""
    where = place(reader, item.column)
    condition = filter_condition(where, item)

    def make() -> Mask:
        if item.op == "contains" and keeps_texts(reader, query.target, query.modality, item.column):
            return holding(reader, query.target, query.modality, item.column, str(item.value))
        return _passed(reader, query, condition.sql, condition.params, where.in_samples)

    return reader.keep(("filter", query.target, query.modality, repr(item)), make)


def _passed(reader: RunReader, query: SampleQuery, sql: str, params: tuple[object, ...], in_samples: bool) -> Mask:
    """The samples for which a condition on one table holds."""
    found = scan(reader, query.target, query.modality, in_samples=in_samples, condition=sql, params=params)
    return marked(explained(reader, query.target, query.modality), found["sample_id"].to_numpy())


def _members(reader: RunReader, query: SampleQuery, name: str) -> Mask:
    """The samples of a set."""
    table = reader.sets.table(name)

    def make() -> Mask:
        chosen = reader.table(f"SELECT sample_id FROM {table}")["sample_id"].to_numpy()
        return marked(explained(reader, query.target, query.modality), chosen)

    return reader.keep(("set", query.target, query.modality, name), make)


def _found(reader: RunReader, query: SampleQuery, word: str) -> Mask:
    """The samples that have a word of a search anywhere. It holds no space, so it lies within one of the columns."""
    target, modality = query.target, query.modality

    def make() -> Mask:
        mask = np.zeros(len(explained(reader, target, modality)), bool)
        kept = [name for name in SEARCHED if keeps_texts(reader, target, modality, name)]
        for name in kept:
            mask |= holding(reader, target, modality, name, word)
        read = [place(reader, name, filterable=False) for name in SEARCHED if name not in kept]
        for in_samples in (True, False):
            mine = [where.sql for where in read if where.in_samples == in_samples]
            either = " OR ".join(f"contains(lower({sql}), lower(?))" for sql in mine)
            mask |= _passed(reader, query, either, (word,) * len(mine), in_samples) if mine else False
        return mask

    return reader.keep(("word", query.target, query.modality, word), make)


# -- in which order ------------------------------------------------------------------------------------------


def _sorted(reader: RunReader, query: SampleQuery) -> Rows:
    """All samples of the target in the order of the query."""
    whole = replace(query, filters=(), search="", sets=())
    return reader.keep(_key(query), lambda: _sort(reader, whole))


def _key(query: SampleQuery) -> tuple[object, ...]:
    """What the order of all samples is kept by."""
    return ("sorted", query.target, query.modality, query.sort, query.descending)


def _order_key(query: SampleQuery) -> tuple[object, ...]:
    """What the order of a narrowed selection is kept by."""
    return ("order", repr(query))


def _front(reader: RunReader, query: SampleQuery) -> Rows | None:
    """The first places of a selection, at most `FRONT`; None where that is no less than to sort all."""
    if not _sorts_by_sql(reader, query.sort):
        return reader.keep(("front", repr(query)), lambda: _front_of_values(reader, query))
    if _narrows(query):
        return None
    everything = explained(reader, query.target, query.modality)
    rows = reader.keep(("front", repr(query)), lambda: _sorted_by_sql(reader, query, everything, FRONT))
    return rows if len(rows) == min(FRONT, len(everything)) else None  # some of the first samples lack this target


def _front_of_values(reader: RunReader, query: SampleQuery) -> Rows:
    values = column_values(reader, query.target, query.modality, [query.sort])[query.sort]
    return front_rows(values, query.descending, FRONT, selected(reader, query))


def _sort(reader: RunReader, query: SampleQuery) -> Rows:
    everything = explained(reader, query.target, query.modality)
    if query.sort == "sample_id":
        rows = np.arange(len(everything), dtype=np.int32)
        return rows[::-1].copy() if query.descending else rows
    if _sorts_by_sql(reader, query.sort):
        return _sorted_by_sql(reader, query, everything)
    values = column_values(reader, query.target, query.modality, [query.sort])[query.sort]
    return sorted_rows(values, query.descending)


def _sorts_by_sql(reader: RunReader, name: str) -> bool:
    """Whether DuckDB sorts this column: texts that are hardly ever alike, and lists."""
    kind = place(reader, name).column.type
    return pa.types.is_list(kind) or (pa.types.is_string(kind) and not repeats(reader, name))


def _sorted_by_sql(reader: RunReader, query: SampleQuery, everything: Ids, most: int | None = None) -> Rows:
    """The order of texts that are hardly ever alike, and of lists; of the first `most` samples."""
    where = place(reader, query.sort)
    by = f"ORDER BY v {'DESC' if query.descending else 'ASC'} NULLS LAST, sample_id"
    by += "" if most is None else f" LIMIT {int(most)}"
    found = scan(
        reader,
        query.target,
        query.modality,
        in_samples=where.in_samples,
        columns=f"{where.sql} AS v",
        outer=f"SELECT sample_id FROM {{}} {by}",
    )
    chosen = found["sample_id"].to_numpy()
    rows = np.minimum(np.searchsorted(everything, chosen), max(len(everything) - 1, 0))
    return rows[everything[rows] == chosen].astype(np.int32) if len(everything) else np.zeros(0, np.int32)


def sorted_rows(values: Values, descending: bool) -> Rows:
    """Positions in the order of the values; empty ones come last, equal ones stay in their order."""
    filled = values.filled
    rows = np.flatnonzero(filled)
    keys = _keys(values.data if len(rows) == len(values.data) else values.data[rows])
    if descending:
        keys = ~keys
    if keys.dtype == np.uint32:  # key and position in one number: much faster to sort than by key
        both = (keys.astype(np.uint64) << np.uint64(32)) | np.arange(len(keys), dtype=np.uint64)
        both.sort()
        order = (both & np.uint64(0xFFFFFFFF)).astype(np.int64)
    else:
        order = np.argsort(keys, kind="stable")
    return np.concatenate([rows[order], np.flatnonzero(~filled)]).astype(np.int32)


def front_rows(values: Values, descending: bool, most: int, mask: Mask | None = None) -> Rows:
    """The first `most` of `sorted_rows`, of those in `mask`; only as many are sorted."""
    wanted = np.ones(len(values.data), bool) if mask is None else mask
    rows = np.flatnonzero(values.filled & wanted)
    keys = _keys(values.data if len(rows) == len(values.data) else values.data[rows])
    if descending:
        keys = ~keys
    if len(rows) > most:
        close = np.flatnonzero(keys <= np.partition(keys, most)[most])  # with all that equal the last of them
        rows, keys = rows[close], keys[close]
    first = rows[np.argsort(keys, kind="stable")[:most]]
    empty = np.flatnonzero(~values.filled & wanted) if len(first) < most else first[:0]
    return np.concatenate([first, empty[: most - len(first)]]).astype(np.int32)


def _keys(data: NDArray[Any]) -> NDArray[Any]:
    """Unsigned numbers that sort as the values do; NaN is the largest, as in DuckDB, and -0 is 0."""
    if data.dtype.kind in "ub":
        return data.astype(np.uint32)
    bits = 64 if data.dtype.itemsize == 8 else 32
    sign = np.uint64(1 << 63) if bits == 64 else np.uint32(1 << 31)
    if data.dtype.kind == "i":
        low, high = (int(data.min()), int(data.max())) if len(data) else (0, 0)
        if high - low < 1 << 32:
            return (data.astype(np.int64) - low).astype(np.uint32)
        return data.astype(np.int64).view(np.uint64) ^ np.uint64(1 << 63)
    plain = np.where(np.isnan(data), np.nan, data + 0.0).astype(data.dtype)
    raw: NDArray[Any] = plain.view(np.uint64 if bits == 64 else np.uint32)
    return np.where(raw & sign, ~raw, raw | sign)
