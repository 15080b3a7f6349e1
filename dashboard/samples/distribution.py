"""A small histogram above the gallery; a click on a bar keeps only its samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import streamlit as st

from dashboard import charts, filters, state
from dashboard.data import Run
from dashboard.samples import clicks
from dashboard.selection import Selection
from storage import ColumnInfo, SampleQuery

GROUP, BINS = "histogram", 40


def draw(run: Run, columns: Mapping[str, ColumnInfo], query: SampleQuery, chosen: Selection) -> None:
    """The histogram of the chosen column, or of the one that is sorted by."""
    numbers = [name for name, info in columns.items() if info.kind == "number"]
    column = _column(numbers, chosen)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.selectbox(
                "Column of the distribution",
                numbers,
                format_func=lambda name: filters.title(columns[name]),
                width=260,
                label_visibility="collapsed",
                **state.control("histogram_column", column, _choose),
            )
            st.caption("Click a bar to keep only its samples.", width="content")
        _chart(run, columns[column], query)


def _chart(run: Run, info: ColumnInfo, query: SampleQuery) -> None:
    bins, key = run.histogram(query, info.name, BINS), clicks.key("histogram")
    if not bins:
        st.caption("None of these samples has a value here.")
        return

    def clicked() -> None:
        condition = clicks.bar(st.session_state[key], bins, info.name)
        if condition is not None:
            clicks.follow(state.current().with_filter(info.name, condition))

    n = sum(int(b["n"]) for b in bins)
    st.plotly_chart(
        charts.histogram(bins, filters.title(info), clickable=True, height=170),
        config=charts.CONFIG,
        key=key,
        on_select=clicked,
        selection_mode="points",
        alt=f"Histogram over {n} samples: {filters.title(info)}",
    )


def _column(numbers: list[str], chosen: Selection) -> str:
    """The column that was asked for, else the one that is sorted by, else the score."""
    for name in (*chosen.chosen(GROUP), chosen.sort if chosen.sort != "sample_id" else "", "score"):
        if name in numbers:
            return name
    return numbers[0]


def _choose(name: str) -> None:
    chosen = state.current()
    state.put(replace(chosen.with_only(GROUP, [name]), page=chosen.page))
