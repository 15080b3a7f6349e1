"""The values of a column as an array, one per explanation of a target: what sorting and statistics work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from storage.queries.filters import Place, place
from storage.reader import RunReader

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Values:
    """Numbers with `empty` marking those that are NULL, or texts as positions in `names`, which is sorted (-1: NULL).

    One value per id of `explained`, in its order.
    """

    data: NDArray[Any]
    empty: NDArray[np.bool_] | None = None
    names: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        empty = 0 if self.empty is None else self.empty.nbytes
        return self.data.nbytes + empty + sum(60 + len(name) for name in self.names)

    @property
    def filled(self) -> NDArray[np.bool_]:
        """Which are there."""
        if self.names:
            return self.data >= 0
        return np.ones(len(self.data), bool) if self.empty is None else ~self.empty


def explained(reader: RunReader, target: str, modality: str) -> Ids:
    """Ids of the samples that have an explanation of a target on a modality, ascending."""

    def make() -> Ids:
        return _ascending(scan(reader, target, modality, in_samples=False)["sample_id"].to_numpy())

    return reader.keep(("explained", target, modality), make)


def scan(
    reader: RunReader,
    target: str,
    modality: str,
    *,
    in_samples: bool,
    columns: str = "",
    condition: str = "true",
    params: Sequence[Any] = (),
    outer: str = "SELECT * FROM {}",
) -> pa.Table:
    """`sample_id` and some more `columns` (SQL) of the samples, or else of the explanations of a target on a modality,
    for which a condition holds. `outer` as of `RunReader.spread`."""
    more = f", {columns}" if columns else ""
    if in_samples:
        return reader.spread(f"SELECT s.sample_id{more} FROM samples s WHERE {condition}", params, outer=outer)
    return reader.spread(
        f"SELECT e.sample_id{more} FROM explanations e WHERE e.target = ? AND e.modality = ? AND ({condition})",
        (target, modality, *params),
        outer=outer,
    )


def _ascending(ids: Ids) -> Ids:
    return ids if len(ids) < 2 or bool((ids[1:] > ids[:-1]).all()) else np.sort(ids)


def marked(everything: Ids, chosen: Ids) -> Mask:
    """Which of all ids are among the chosen ones."""
    mask = np.zeros(len(everything), bool)
    if not len(everything) or not len(chosen):
        return mask
    low, span = everything[0], int(everything[-1] - everything[0]) + 1
    chosen = chosen[(chosen >= low) & (chosen <= everything[-1])]
    if span > 16 * len(everything):  # ids far apart: no room for one place per number
        rows = np.searchsorted(everything, chosen)
        mask[rows[everything[rows] == chosen]] = True
        return mask
    numbers = np.zeros(span, bool)
    numbers[chosen - low] = True
    return numbers[everything - low]


def column_values(reader: RunReader, target: str, modality: str, names: Sequence[str]) -> dict[str, Values]:
    """The values of some columns of numbers, booleans or texts. Those of one table are read at once."""
    made: dict[str, Values] = {}

    def make(name: str) -> Values:
        if name not in made:
            where = place(reader, name)
            alike = [other for other in names if place(reader, other).in_samples == where.in_samples]
            made.update(_read(reader, target, modality, alike))
        return made[name]

    found: dict[str, Values] = {}
    for name in names:
        found[name] = reader.keep(("values", target, modality, name), lambda name=name: make(name))  # type: ignore[misc]
    return found


def _read(reader: RunReader, target: str, modality: str, names: Sequence[str]) -> dict[str, Values]:
    """Columns of one table."""
    ids = explained(reader, target, modality)
    places = {name: place(reader, name) for name in names}
    columns = ", ".join(f"{where.sql} AS v{i}" for i, where in enumerate(places.values()))
    table = scan(reader, target, modality, in_samples=next(iter(places.values())).in_samples, columns=columns)
    rows = _rows(table["sample_id"].to_numpy(), ids)
    return {name: _values(table[f"v{i}"], places[name], rows) for i, name in enumerate(places)}


def _rows(found: Ids, ids: Ids) -> NDArray[np.intp] | None:
    """For every id its row among those found, -1 for none; None when they are the same."""
    if np.array_equal(found, ids):
        return None
    if not len(found):
        return np.full(len(ids), -1)
    order = np.argsort(found, kind="stable")
    rows = order[np.minimum(np.searchsorted(found, ids, sorter=order), len(found) - 1)]
    return np.where(found[rows] == ids, rows, -1)


def _values(column: pa.ChunkedArray, where: Place, rows: NDArray[np.intp] | None) -> Values:
    """A column as arrays, brought into the order of the ids."""
    if pa.types.is_string(where.column.type):
        data, names = _codes(column)
        data = data if rows is None else np.where(rows < 0, -1, data[rows]).astype(np.int32)
        return Values(data, None if names else np.ones(len(data), bool), names)
    empty = column.is_null().to_numpy() if column.null_count else None
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    data = pc.fill_null(column, 0).to_numpy() if column.null_count else column.to_numpy()
    if rows is not None:
        missing = (rows < 0) if empty is None else (rows < 0) | empty[rows]
        data, empty = data[rows], missing if missing.any() else None
    return Values(data, empty)


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Texts as positions in the sorted list of them, as DuckDB sorts: by their bytes."""
    encoded = column.dictionary_encode().combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # without a chunk
        encoded = pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), pa.array([], pa.string()))
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    place_of = np.empty(len(order) + 1, np.int32)
    place_of[order] = np.arange(len(order), dtype=np.int32)
    place_of[-1] = -1  # what is NULL
    codes = place_of[pc.fill_null(encoded.indices, -1).to_numpy()]
    return codes, tuple(encoded.dictionary.take(pa.array(order)).to_pylist())
