"""Everything that narrows the samples, as chips that take it away again."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard import filters, state
from dashboard.data import Run
from dashboard.narrow import suspect
from dashboard.selection import Selection, clip
from dashboard.words import literal
from storage import ColumnInfo


def draw(run: Run, columns: Mapping[str, ColumnInfo], chosen: Selection) -> None:
    """A button per restriction, and one that clears all. Nothing when nothing restricts."""
    if not chosen.narrowed:
        return
    if chosen.members:
        row = suspect(run, chosen.members)
        name = str(row["name"] or row["id"]) if row else chosen.members
        _chip(f"Members of suspect {clip(name, 40)}", "narrow_members", members="")
    for number, tag in enumerate(chosen.tags):
        rest = tuple(other for other in chosen.tags if other != tag)
        _chip(f"Tag {clip(tag, 40)}", f"narrow_tag_{number}", tags=rest)
    if chosen.search:
        _chip(f"Search {clip(chosen.search, 40)}", "narrow_search", search="")
    if chosen.sql:
        _chip(f"SQL {clip(chosen.sql, 40)}", "narrow_sql", sql="")
    for condition in chosen.filters:
        st.button(
            literal(filters.in_words(condition, columns.get(condition.column))),
            icon=":material/close:",
            key=f"chip_{condition.column}",
            help="Remove this filter",
            on_click=filters.remove,
            args=(condition.column,),
        )
    st.button("Clear all", icon=":material/filter_alt_off:", type="tertiary", key="clear_filters", on_click=_clear_all)


def _chip(text: str, key: str, **without: object) -> None:
    st.button(
        literal(text),
        icon=":material/close:",
        key=key,
        help="Remove this restriction",
        on_click=state.change,
        kwargs=without,
    )


def _clear_all() -> None:
    state.put(state.current().everything())
