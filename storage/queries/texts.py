"""Which samples have some letters in a text, upper and lower case alike.

To read and lower a million texts takes much longer than to look through them: they are kept in lower case for the next
words. Of a text that repeats only its few values are looked through.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from storage.queries.filters import place
from storage.queries.values import Mask, column_values, explained, marked, scan
from storage.reader import RunReader

ROOM = 96 << 20  # bytes of a column's texts that are kept; longer ones are read again for every word
PROBE = 20_000  # rows that tell how long texts are, and whether they repeat


def keeps_texts(reader: RunReader, target: str, modality: str, name: str) -> bool:
    """Whether `holding` can answer for a column: one of texts that repeat or are short."""
    if not pa.types.is_string(place(reader, name, filterable=False).column.type):
        return False
    if repeats(reader, name):
        return True
    mean = reader.remember(("mean bytes", name), lambda: _first_rows(reader, name, "avg(strlen(v)) AS mean")["mean"])
    return (mean or 0) * len(explained(reader, target, modality)) <= ROOM


def holding(reader: RunReader, target: str, modality: str, name: str, letters: str) -> Mask:
    """Which of `explained` have some letters in a text."""
    if repeats(reader, name):
        values = column_values(reader, target, modality, [name])[name]
        names = pa.table({"v": pa.array(values.names, pa.string())})
        held = _look(reader, names, "SELECT contains(lower(v), lower(?)) AS held FROM texts", letters)
        return np.append(held["held"].to_numpy().astype(bool), False)[values.data]  # an empty one is -1, the last
    texts = reader.keep(("lowered", target, modality, name), lambda: _lowered(reader, target, modality, name))
    found = _look(reader, texts, "SELECT sample_id FROM texts WHERE contains(v, lower(?))", letters)
    return marked(explained(reader, target, modality), found["sample_id"].to_numpy())


def repeats(reader: RunReader, name: str) -> bool:
    """Whether a text has few values, as far as the first rows tell."""

    def ask() -> bool:
        row = _first_rows(reader, name, "count(v) AS n, count(DISTINCT v) AS values")
        return bool(row["values"] * 20 <= row["n"])

    return reader.remember(("repeats", name), ask)


def _first_rows(reader: RunReader, name: str, what: str) -> dict[str, Any]:
    where = place(reader, name, filterable=False)
    table = "samples s" if where.in_samples else "explanations e"
    (row,) = reader.spread(
        f"SELECT {where.sql} AS v FROM {table}", outer=f"SELECT {what} FROM (SELECT v FROM {{}} LIMIT {PROBE})"
    ).to_pylist()
    return dict(row)


def _lowered(reader: RunReader, target: str, modality: str, name: str) -> pa.Table:
    where = place(reader, name, filterable=False)
    return scan(reader, target, modality, in_samples=where.in_samples, columns=f"lower({where.sql}) AS v")


def _look(reader: RunReader, texts: pa.Table, select: str, letters: str) -> pa.Table:
    cursor = reader.cursor()
    cursor.register("texts", texts)  # seen by this cursor alone
    return cursor.sql(select, params=[letters]).to_arrow_table()
