"""Free text search and the tag filter, at the top of the sidebar."""

from __future__ import annotations

import streamlit as st

from dashboard import reviews, state
from dashboard.data import Run
from dashboard.selection import MAX_TEXT, MAX_WORDS, Selection, clip
from storage import StoreError


def draw(run: Run, chosen: Selection) -> None:
    """Both fields; the tag filter only where there are tags."""
    st.text_input(
        "Search",
        max_chars=MAX_TEXT,
        type="search",
        placeholder="Text, file, label, prediction",
        help="Samples with every one of these words in their text, file name, label or prediction; "
        "upper and lower case alike.",
        **state.control("search", chosen.search, lambda text: state.change(search=" ".join(text.split()))),
    )
    counts = tags(run)
    options = [*counts, *(tag for tag in chosen.tags if tag not in counts)]
    if options:
        st.multiselect(
            "Tags",
            options,
            placeholder="All",
            max_selections=MAX_WORDS,
            help="Samples with any of these tags.",
            format_func=lambda tag: f"{clip(tag, 40)} ({counts.get(tag, 0):,})",
            **state.control("tags", list(chosen.tags), lambda picked: state.change(tags=tuple(picked))),
        )


def tags(run: Run) -> dict[str, int]:
    """How many samples carry each tag; none when the reviews cannot be read."""
    try:
        return reviews.tags(run.store, run.id)
    except StoreError:
        return {}
