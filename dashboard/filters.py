"""Filter widgets: one per column, made for its kind; each changes the filters of the Selection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import state
from dashboard.data import Run
from dashboard.selection import MAX_TEXT, MAX_VALUES, clip
from storage import ColumnInfo, Filter

FIRST = ("label", "predicted", "correct", "score")  # always offered when the run has them
MISSING = "missing"
GROUPS = {"sample": "Sample", "explanation": "Explanation", "summary": "Relevancy", "metadata": "Metadata"}
FEW = 60  # distinct values up to which a text column is offered as a list


def title(info: ColumnInfo) -> str:
    """A column as people read it."""
    names = {
        "uri": "File",
        "sample_id": "Sample number",
        "clip_percentile": "CLIP percentile",
        "top10_mass": "Top 10 % mass",
    }
    return names.get(info.name, info.name.replace("_", " ").capitalize())


def in_words(condition: Filter, info: ColumnInfo | None) -> str:
    """A filter as one short phrase."""
    name = title(info) if info else condition.column
    value = condition.value
    if condition.op == "is_null":
        return f"{name} is missing"
    if condition.op == "not_null":
        return f"{name} is given"
    if condition.op == "between" and isinstance(value, tuple):
        return f"{name} {_interval(value[0], value[1])}"
    if condition.op == "in" and isinstance(value, tuple):
        return f"{name}: {clip(', '.join(map(str, value)), 60)}"
    if condition.column == "correct":
        return "only right" if value else "only wrong"
    words = {"eq": "is", "ne": "is not", "contains": "contains"}
    return f"{name} {words.get(condition.op, condition.op)} {clip(str(value), 40)}"


def panel(run: Run, columns: Mapping[str, ColumnInfo]) -> None:
    """The filters of the sidebar: the usual ones, those in use, and a choice of all others."""
    active = [f.column for f in state.current().filters]
    shown = [c for c in FIRST if c in columns] + [c for c in active if c in columns and c not in FIRST]
    for name in shown:
        widget(run, columns[name])
    others = [name for name in columns if name not in shown and name != "sample_id"]
    others.sort(key=lambda name: list(GROUPS).index(columns[name].group))
    st.selectbox(
        "Filter by another column",
        others,
        index=None,
        placeholder="Choose a column",
        format_func=lambda name: f"{GROUPS[columns[name].group]}: {title(columns[name])}",
        **state.control("add_filter", None, lambda name: _add(run, columns, name)),
    )


def _add(run: Run, columns: Mapping[str, ColumnInfo], name: str | None) -> None:
    """Start with a filter that lets everything through which has a value."""
    if name is not None:
        state.put(state.current().with_filter(name, Filter(name, "not_null", None)))


def widget(run: Run, info: ColumnInfo) -> None:
    """The filter widget of a column."""
    if info.kind == "number":
        _number(run, info)
    elif info.kind == "bool":
        _boolean(info)
    else:
        values = run.category_values(info.name) if info.kind == "category" or info.group == "metadata" else []
        if values and (info.kind == "category" or len(values) <= FEW):
            _category(info, values)
        else:
            _text(info)


def remove(column: str) -> None:
    """Take the filter on a column away."""
    _set(column, None)


def _set(column: str, condition: Filter | None) -> None:
    state.put(state.current().with_filter(column, condition))


def _number(run: Run, info: ColumnInfo) -> None:
    limits = run.number_range(info.name, state.current().target)
    if limits is None or limits[0] >= limits[1]:
        if info.name not in FIRST:
            st.caption(f"{title(info)} is the same for all samples.")
        return
    whole = all(float(v).is_integer() for v in limits) and limits[1] - limits[0] >= 2
    low, high = (int(limits[0]), int(limits[1])) if whole else (float(limits[0]), float(limits[1]))
    condition = state.current().condition(info.name)
    given = condition.value if condition is not None and condition.op == "between" else (low, high)
    shown = tuple(type(low)(min(max(v, low), high)) for v in given)

    def choose(value: tuple[float, float]) -> None:
        full = value[0] <= low and value[1] >= high
        keep = Filter(info.name, "not_null", None) if info.name not in FIRST else None
        _set(info.name, keep if full else Filter(info.name, "between", (value[0], value[1])))

    st.slider(
        title(info),
        low,
        high,
        step=1 if whole else (high - low) / 200,
        help=info.description,
        format="%d" if whole else "%.3g",
        **state.control(f"filter_{info.name}", shown, choose),
    )


def _boolean(info: ColumnInfo) -> None:
    words = {True: "Right", False: "Wrong"} if info.name == "correct" else {True: "Yes", False: "No"}
    condition = state.current().condition(info.name)
    value = words.get(condition.value) if condition is not None and condition.op == "eq" else None

    def choose(word: str | None) -> None:
        chosen = next((value for value, name in words.items() if name == word), None)
        _set(info.name, None if chosen is None else Filter(info.name, "eq", chosen))

    st.segmented_control(
        "Prediction is" if info.name == "correct" else title(info),
        list(words.values()),
        help=info.description,
        width="stretch",
        **state.control(f"filter_{info.name}", value, choose),
    )


def _category(info: ColumnInfo, values: list[dict[str, Any]]) -> None:
    counts = {str(row["value"]): int(row["n"]) for row in values if row["value"] is not None}
    condition = state.current().condition(info.name)
    chosen = [str(v) for v in condition.value] if condition is not None and condition.op == "in" else []
    options = [*counts, *(v for v in chosen if v not in counts)]

    def choose(picked: list[str]) -> None:
        keep = Filter(info.name, "not_null", None) if info.name not in FIRST else None
        _set(info.name, Filter(info.name, "in", tuple(picked[:MAX_VALUES])) if picked else keep)

    st.multiselect(
        title(info),
        options,
        help=info.description,
        placeholder="All",
        max_selections=MAX_VALUES,
        format_func=lambda v: f"{clip(v, 40)} ({counts.get(v, 0):,})",
        **state.control(f"filter_{info.name}", chosen, choose),
    )


def _text(info: ColumnInfo) -> None:
    condition = state.current().condition(info.name)
    value = str(condition.value) if condition is not None and condition.op == "contains" else ""

    def choose(text: str) -> None:
        keep = Filter(info.name, "not_null", None) if info.name not in FIRST else None
        _set(info.name, Filter(info.name, "contains", text) if text else keep)

    st.text_input(
        f"{title(info)} contains",
        max_chars=MAX_TEXT,
        type="search",
        help=info.description,
        **state.control(f"filter_{info.name}", value, choose),
    )


def _interval(low: object, high: object) -> str:
    """Both ends with as many digits as tell them apart."""
    if low == high:
        return f"is {_short(low)}"
    digits = next((n for n in (3, 4, 5, 6) if _short(low, n) != _short(high, n)), 9)
    return f"{_short(low, digits)} to {_short(high, digits)}"


def _short(value: object, digits: int = 3) -> str:
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
