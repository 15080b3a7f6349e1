"""Numbers over a selection: histograms, the confusion matrix, a table per class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.columns import EXPLANATION_COLUMNS
from storage.errors import StoreError
from storage.queries.columns import number_place
from storage.queries.filters import SampleQuery
from storage.queries.order import Mask, selected
from storage.queries.steady import steady
from storage.queries.values import Values, column_values
from storage.reader import RunReader

MOST_CELLS = 1 << 22  # of a confusion matrix that are counted in place


@steady
def histogram(reader: RunReader, query: SampleQuery, column: str, bins: int = 30) -> list[dict[str, Any]]:
    """Equal bins `{"low", "high", "n", "first", "last"}` over the finite values of a column.

    Bins are half open, a value on an edge is in the upper one; the last includes its end. `first` and `last` are the
    lowest and the highest value in a bin, None in an empty one: a filter 'between' them finds exactly its samples.
    Whole numbers get one bin per number (from v - 0.5 to v + 0.5) when there are at most `bins` of them. A column
    with a single value has one bin, a column without values none.
    """
    if bins < 1:
        raise StoreError(f"a histogram needs at least one bin, not {bins}")
    whole = pa.types.is_integer(number_place(reader, column).column.type)
    values = _finite(reader, query, column)
    if not len(values):
        return []
    low, width, bins = _grid(float(values[0]), float(values[-1]), int(bins), whole)
    if width == 0.0:
        return [{"low": low, "high": low, "n": len(values), "first": low, "last": low}]
    bin_of = np.minimum(np.floor((values.astype(np.float64) - low) / width), bins - 1).astype(np.int64)
    counts = np.bincount(bin_of, minlength=bins)
    ends = np.cumsum(counts)
    return [
        {
            "low": low + i * width,
            "high": low + (i + 1) * width,
            "n": int(n),
            "first": values[end - n].item() if n else None,
            "last": values[end - 1].item() if n else None,
        }
        for i, (n, end) in enumerate(zip(counts, ends, strict=True))
    ]


def _finite(reader: RunReader, query: SampleQuery, column: str) -> NDArray[Any]:
    """The finite values of a column in a selection, ascending."""
    mask = selected(reader, query)
    values = column_values(reader, query.target, query.modality, [column])[column]
    kept = values.filled if mask is None else values.filled & mask
    numbers = values.data[kept]
    return np.sort(numbers[np.isfinite(numbers)])


def _grid(low: float, high: float, bins: int, whole: bool) -> tuple[float, float, int]:
    """Start, bin width and number of bins."""
    if whole and high - low < bins:
        return low - 0.5, 1.0, int(high - low) + 1
    return low, (high - low) / bins, bins


@steady
def confusion(reader: RunReader, query: SampleQuery) -> list[dict[str, Any]]:
    """`{"label", "predicted", "n"}` for every pair that occurs, both known."""
    mask = selected(reader, query)
    label, predicted = column_values(reader, query.target, query.modality, ["label", "predicted"]).values()
    both = (label.data >= 0) & (predicted.data >= 0)
    kept = both if mask is None else both & mask
    cells = label.data[kept].astype(np.int64) * len(predicted.names) + predicted.data[kept]
    pairs, counts = _counted(cells, len(label.names) * len(predicted.names))
    rows, columns = np.divmod(pairs, max(len(predicted.names), 1))
    return [
        {"label": label.names[i], "predicted": predicted.names[j], "n": n}
        for i, j, n in zip(rows.tolist(), columns.tolist(), counts.tolist(), strict=True)
    ]


def _counted(numbers: NDArray[np.int64], most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers that occur, ascending, and how often; all are below `most`."""
    if most > 4 * len(numbers) + MOST_CELLS:
        return np.unique(numbers, return_counts=True)
    counts = np.bincount(numbers, minlength=1)
    found = np.flatnonzero(counts)
    return found, counts[found]


@steady
def class_summary(reader: RunReader, query: SampleQuery, by: str = "label") -> list[dict[str, Any]]:
    """One row per class: n, correct, accuracy, mean_confidence, and the mean of each relevancy summary.

    `by` is 'label' or 'predicted'. Samples without one form the last row. `correct` counts; accuracy is None
    where nothing is known.
    """
    if by not in ("label", "predicted"):
        raise StoreError(f"classes are summed up by 'label' or 'predicted', not {by!r}")
    mask = selected(reader, query)
    values = column_values(reader, query.target, query.modality, [by, "correct", "confidence", *summary_names()])
    classes = values.pop(by)
    group = _chosen(classes.data, mask).astype(np.intp)  # once: bincount would turn it into this for every column
    group[group < 0] = len(classes.names)  # those without a class come last
    sizes = np.bincount(group, minlength=len(classes.names) + 1)
    means = {name: _means(column, group, mask, sizes) for name, column in values.items()}
    right, accuracy = means.pop("correct")
    _, confidence = means.pop("confidence")
    return [
        {
            by: classes.names[i] if i < len(classes.names) else None,
            "n": int(sizes[i]),
            "correct": int(right[i]),
            "accuracy": accuracy[i],
            "mean_confidence": confidence[i],
            **{name: mean[i] for name, (_, mean) in means.items()},
        }
        for i in np.flatnonzero(sizes).tolist()
    ]


def _means(
    values: Values, group: NDArray[np.intp], mask: Mask | None, sizes: NDArray[np.int64]
) -> tuple[NDArray[Any], list[float | None]]:
    """Sum and mean of a column per group of the chosen samples; None where it has no value."""
    data, counts = _chosen(values.data, mask), sizes
    if values.empty is not None:
        kept = ~_chosen(values.empty, mask)
        data, group = data[kept], group[kept]
        counts = np.bincount(group, minlength=len(sizes))
    sums = np.bincount(group, weights=data, minlength=len(sizes))  # in float64
    return sums, [total / n if n else None for total, n in zip(sums.tolist(), counts.tolist(), strict=True)]


def _chosen(data: NDArray[Any], mask: Mask | None) -> NDArray[Any]:
    return data if mask is None else data[mask]


def detections(reader: RunReader, limit: int = 200) -> list[dict[str, Any]]:
    """One row per class that a detector found: predicted, n objects, samples, mean_confidence; most frequent first."""
    if "query" in reader.record.taken:  # of schema 1: no detections, and another meaning
        return []
    return reader.query(
        "SELECT predicted, count(*) AS n, count(DISTINCT sample_id) AS samples, avg(confidence) AS mean_confidence "
        "FROM explanations WHERE query IS NOT NULL GROUP BY predicted ORDER BY n DESC, predicted LIMIT ?",
        [int(limit)],
    )


def summary_names() -> list[str]:
    """Names of the relevancy summaries that are numbers."""
    return [c.name for c in EXPLANATION_COLUMNS if c.group == "summary" and c.kind == "number"]
