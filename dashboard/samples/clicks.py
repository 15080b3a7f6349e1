"""What a click on a chart means: a bar or a cell becomes a filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import charts, state
from dashboard.data import Row
from dashboard.selection import Selection
from storage import Filter

_CLICKS = "clicks_on_charts"


def key(name: str) -> str:
    """The key of a chart. It changes with every click that was followed, so that none is followed twice."""
    return f"{name}_{st.session_state.get(_CLICKS, 0)}"


def follow(selection: Selection) -> None:
    """Take over what a click led to."""
    st.session_state[_CLICKS] = st.session_state.get(_CLICKS, 0) + 1
    state.put(selection)


def bar(event: Any, bins: Sequence[Row], column: str) -> Filter | None:
    """The filter that finds exactly the samples of the bar that was clicked; None when none was."""
    point = _point(event)
    number = point.get("point_index") if point else None
    if not isinstance(number, int) or not 0 <= number < len(bins) or not bins[number]["n"]:
        return None
    return Filter(column, "between", (bins[number]["first"], bins[number]["last"]))


def cell(event: Any, rows: Sequence[Row]) -> tuple[Filter, Filter] | None:
    """The filters on label and prediction of the cell of the confusion matrix that was clicked."""
    point = _point(event)
    if point is None:
        return None
    labels, predictions = charts.confusion_axes(rows)
    row, column = point.get("y"), point.get("x")
    if not isinstance(row, int | float) or not isinstance(column, int | float):
        return None
    if not (0 <= int(row) < len(labels) and 0 <= int(column) < len(predictions)):
        return None
    return Filter("label", "in", (labels[int(row)],)), Filter("predicted", "in", (predictions[int(column)],))


def _point(event: Any) -> Mapping[str, Any] | None:
    """The point of a selection that the browser sent."""
    selection = event.get("selection") if isinstance(event, Mapping) else None
    points = selection.get("points") if isinstance(selection, Mapping) else None
    return points[0] if points and isinstance(points[0], Mapping) else None
