"""A small histogram above the gallery; a click on a bar keeps only its samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import streamlit as st

from dashboard import charts, filters, state
from dashboard.data import Run
from dashboard.samples import clicks, opened
from dashboard.selection import Selection
from storage import ColumnInfo, SampleQuery

GROUP, BINS = "histogram", 40


def draw(run: Run, columns: Mapping[str, ColumnInfo], query: SampleQuery, chosen: Selection) -> None:
    """The histogram of the chosen column, or of the one that is sorted by."""
    numbers = [name for name, info in columns.items() if info.kind == "number"]
    with opened.expander(chosen, "histogram", "Distribution", ":material/bar_chart:"):
        if not opened.is_open(chosen, "histogram"):
            return
        column = _column(numbers, chosen)
        st.selectbox(
            "Column",
            numbers,
            format_func=lambda name: filters.title(columns[name]),
            width=260,
            help=columns[column].description,
            **state.control("histogram_column", column, _choose),
        )
        bins = run.histogram(query, column, BINS)
        if not bins:
            st.caption("None of these samples has a value here.")
            return
        key = clicks.key("histogram")

        def clicked() -> None:
            condition = clicks.bar(st.session_state[key], bins, column)
            if condition is not None:
                clicks.follow(state.current().with_filter(column, condition))

        n = sum(int(b["n"]) for b in bins)
        st.plotly_chart(
            charts.histogram(bins, filters.title(columns[column]), clickable=True, height=190),
            config=charts.CONFIG,
            key=key,
            on_select=clicked,
            selection_mode="points",
            alt=f"Histogram over {n} samples: {filters.title(columns[column])}",
        )
        st.caption("Click a bar to keep only its samples.")


def _column(numbers: list[str], chosen: Selection) -> str:
    """The column that was asked for, else the one that is sorted by, else the score."""
    for name in (*chosen.chosen(GROUP), chosen.sort if chosen.sort != "sample_id" else "", "score"):
        if name in numbers:
            return name
    return numbers[0]


def _choose(name: str) -> None:
    chosen = state.current()
    state.put(replace(chosen.with_only(GROUP, [name]), page=chosen.page))
