"""Numbers over a selection: histograms, the confusion matrix, a table per class."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from storage.columns import EXPLANATION_COLUMNS
from storage.errors import StoreError
from storage.queries.columns import number_place
from storage.queries.filters import SampleQuery, source
from storage.reader import RunReader


def histogram(reader: RunReader, query: SampleQuery, column: str, bins: int = 30) -> list[dict[str, Any]]:
    """Equal bins `{"low", "high", "n", "first", "last"}` over the finite values of a column.

    Bins are half open, a value on an edge is in the upper one; the last includes its end. `first` and `last` are the
    lowest and the highest value in a bin, None in an empty one: a filter 'between' them finds exactly its samples.
    Whole numbers get one bin per number (from v - 0.5 to v + 0.5) when there are at most `bins` of them. A column
    with a single value has one bin, a column without values none.
    """
    if bins < 1:
        raise StoreError(f"a histogram needs at least one bin, not {bins}")
    where = number_place(reader, column)
    tables, params = source(reader, query, column)
    value = f"{where.sql}::DOUBLE"
    finite = f"{tables} AND isfinite({value})"
    (ends,) = reader.query(f"SELECT min({value}) AS low, max({value}) AS high {finite}", params)
    if ends["low"] is None:
        return []
    low, width, bins = _grid(ends["low"], ends["high"], int(bins), pa.types.is_integer(where.column.type))
    if width == 0.0:
        n = reader.query(f"SELECT count(*) AS n {finite}", params)[0]["n"]
        return [{"low": low, "high": low, "n": n, "first": low, "last": low}]
    rows = reader.query(
        f"SELECT least(floor(({value} - ?) / ?), ?)::INTEGER AS bin, count(*) AS n, "
        f"min({where.sql}) AS first, max({where.sql}) AS last {finite} GROUP BY bin",
        [low, width, bins - 1, *params],
    )
    filled = {row.pop("bin"): row for row in rows}
    empty = {"n": 0, "first": None, "last": None}
    return [{"low": low + i * width, "high": low + (i + 1) * width, **filled.get(i, empty)} for i in range(bins)]


def _grid(low: float, high: float, bins: int, whole: bool) -> tuple[float, float, int]:
    """Start, bin width and number of bins."""
    if whole and high - low < bins:
        return low - 0.5, 1.0, int(high - low) + 1
    return low, (high - low) / bins, bins


def confusion(reader: RunReader, query: SampleQuery) -> list[dict[str, Any]]:
    """`{"label", "predicted", "n"}` for every pair that occurs, both known."""
    tables, params = source(reader, query, "label")
    return reader.query(
        f"SELECT s.label, e.predicted, count(*) AS n {tables} AND s.label IS NOT NULL "
        "AND e.predicted IS NOT NULL GROUP BY s.label, e.predicted ORDER BY s.label, e.predicted",
        params,
    )


def class_summary(reader: RunReader, query: SampleQuery, by: str = "label") -> list[dict[str, Any]]:
    """One row per class: n, correct, accuracy, mean_confidence, and the mean of each relevancy summary.

    `by` is 'label' or 'predicted'. Samples without one form the last row. `correct` counts; accuracy is None
    where nothing is known.
    """
    if by not in ("label", "predicted"):
        raise StoreError(f"classes are summed up by 'label' or 'predicted', not {by!r}")
    key = "s.label" if by == "label" else "e.predicted"
    tables, params = source(reader, query, by)
    means = ", ".join(f"avg(e.{name}) AS {name}" for name in summary_names())
    return reader.query(
        f"SELECT {key} AS {by}, count(*) AS n, (count(*) FILTER (WHERE e.correct))::BIGINT AS correct, "
        f"avg(e.correct::INTEGER) AS accuracy, avg(e.confidence) AS mean_confidence, {means} "
        f"{tables} GROUP BY {key} ORDER BY {key} NULLS LAST",
        params,
    )


def detections(reader: RunReader, limit: int = 200) -> list[dict[str, Any]]:
    """One row per class that a detector found: predicted, n objects, samples, mean_confidence; most frequent first."""
    if "query" in {
        entry["column"] for entry in reader.record.metadata
    }:  # of schema 1: no detections, and another meaning
        return []
    return reader.query(
        "SELECT predicted, count(*) AS n, count(DISTINCT sample_id) AS samples, avg(confidence) AS mean_confidence "
        "FROM explanations WHERE query IS NOT NULL GROUP BY predicted ORDER BY n DESC, predicted LIMIT ?",
        [int(limit)],
    )


def summary_names() -> list[str]:
    """Names of the relevancy summaries that are numbers."""
    return [c.name for c in EXPLANATION_COLUMNS if c.group == "summary" and c.kind == "number"]
