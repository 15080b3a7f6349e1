"""Samples: filter, sort, and a gallery of pictures with their relevancy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from dashboard import filters, frame, looks, state, tiles
from dashboard.data import Row, Run
from dashboard.selection import SIZES, Selection, clip, link, state_to_params
from dashboard.words import literal, shown, tinted
from storage import ColumnInfo

PASSAGE, PASSAGE_PIECES = 400, 80  # characters and tokens of a text in the list
ORDERS = {"asc": ":material/arrow_upward:", "desc": ":material/arrow_downward:"}


def heading(columns: Mapping[str, ColumnInfo], chosen: Selection, matches: int, total: int) -> None:
    """The title, how many samples match, and which filters are on."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Samples", width="content")
        st.markdown(f"**{matches:,}** of {total:,}", width="content")
        for condition in chosen.filters:
            st.button(
                literal(filters.in_words(condition, columns.get(condition.column))),
                icon=":material/close:",
                key=f"chip_{condition.column}",
                help="Remove this filter",
                on_click=filters.remove,
                args=(condition.column,),
            )
        if chosen.filters:
            st.button(
                "Clear all",
                icon=":material/filter_alt_off:",
                type="tertiary",
                key="clear_filters",
                on_click=state.change,
                kwargs={"filters": (), "page": 1},
            )


def toolbar(columns: Mapping[str, ColumnInfo], chosen: Selection, pictures: bool) -> None:
    """Order and look."""
    sortable = [name for name, info in columns.items() if not info.sql_type.endswith("[]")]
    with st.container(horizontal=True, vertical_alignment="top"):
        st.selectbox(
            "Sort by",
            sortable,
            format_func=lambda name: filters.title(columns[name]),
            width=190,
            **state.control("sort", chosen.sort, lambda v: state.change(sort=v)),
        )
        st.segmented_control(
            "Order",
            list(ORDERS),
            required=True,
            format_func=ORDERS.__getitem__,
            help="Low values first, or high ones",
            **state.control(
                "order", "desc" if chosen.descending else "asc", lambda v: state.change(descending=v == "desc")
            ),
        )
        looks.controls() if pictures else looks.colors()
        st.segmented_control(
            "Per page", SIZES, required=True, **state.control("size", chosen.size, lambda v: state.change(size=v))
        )


def pager(chosen: Selection, pages: int, place: str) -> None:
    """Page buttons, and a field to jump to any page."""
    if pages <= 1:
        return
    # The default cannot be combined with a value in the session state, so the page is part of the key.
    key = f"pager_{place}_{chosen.page}"
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="left"):
        st.pagination(
            pages,
            default=chosen.page,
            key=key,
            width=34 * (min(pages, 7) + 2),
            on_change=lambda: state.change(page=st.session_state[key]),
        )
        if pages > 7:
            with st.container(horizontal=True, vertical_alignment="center", width="content"):
                st.caption("Go to page", width="content")
                st.number_input(
                    "Go to page",
                    1,
                    pages,
                    step=1,
                    width=130,
                    label_visibility="collapsed",
                    **state.control(f"jump_{place}", chosen.page, lambda v: state.change(page=v)),
                )


def tile(row: Row, picture: bytes, chosen: Selection) -> None:
    """One sample: picture, label and prediction as a link to its page, verdict, caption."""
    here = replace(chosen, sample=int(row["sample_id"]))
    with st.container(horizontal_alignment="center", gap="xxsmall"):
        st.image(picture, width="stretch", link=link("sample", here), alt=f"Sample {row['sample_id']}, {names(row)}")
        st.page_link(
            "app_pages/sample.py", label=literal(names(row)), query_params=state_to_params(here), width="content"
        )
        st.caption(verdict(row, chosen.sort), text_alignment="center", wrap=False)
        if row.get("text") and (row.get("label") is not None or row.get("predicted") is not None):
            st.text(clip(str(row["text"]), 90), wrap=False, width="stretch", text_alignment="center")


def verdict(row: Row, sort: str) -> str:
    """Right or wrong as icon and word with the confidence, or the score; and the value that is sorted by."""
    if row.get("confidence") is None:
        text = f"score {row['score']:.3g}"
    elif row.get("correct") is None:
        text = f"{row['confidence']:.0%} sure"
    elif row["correct"]:
        text = f":green[:material/check_circle: right] {row['confidence']:.0%}"
    else:
        text = f":red[:material/cancel: wrong] {row['confidence']:.0%}"
    value = row.get(sort)
    if sort in ("sample_id", "confidence", "score") or not isinstance(value, int | float) or isinstance(value, bool):
        return text
    return f"{text} · {value:.3g}"


def names(row: Row, length: int = 20) -> str:
    """The class of a sample, or label and prediction where they differ, or its caption."""
    label, predicted = row.get("label"), row.get("predicted")
    if label is not None and predicted is not None and label != predicted:
        return f"{clip(str(label), length // 2)} → {clip(str(predicted), length // 2)}"
    name = predicted if predicted is not None else label if label is not None else row.get("text")
    return clip(str(name), length) if name else f"sample {row['sample_id']}"


def gallery(run: Run, chosen: Selection) -> None:
    """One page of tiles."""
    rows = run.page(chosen.query, chosen.page, chosen.size)
    looks.legend(rows)
    grid = st.grid(6, min_column_width=140, gap=("small", "small"), key="gallery")
    theme = "dark" if st.context.theme.type == "dark" else "light"
    for row, picture in zip(rows, tiles.gallery(run, rows, chosen.look, theme), strict=True):
        with grid.cell():
            tile(row, picture, chosen)


def texts(run: Run, chosen: Selection) -> None:
    """One page of texts without pictures, their words tinted."""
    rows = run.page(chosen.query, chosen.page, chosen.size)
    found = run.maps([(row["sample_id"], row["target"]) for row in rows], "text")
    st.caption("Colour: relevancy, least to most relevant word of each text.")
    grid = st.grid(2, min_column_width=420, gap=("small", "small"), key="texts")
    for row in rows:
        with grid.cell():
            passage(row, found.get((row["sample_id"], row["target"])), chosen)


def passage(row: Row, relevancy: Any, chosen: Selection) -> None:
    """One text: a link to its page, the verdict, its words."""
    here = replace(chosen, sample=int(row["sample_id"]))
    with st.container(border=True, gap="xxsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.page_link(
                "app_pages/sample.py", label=literal(names(row)), query_params=state_to_params(here), width="content"
            )
            st.caption(verdict(row, chosen.sort), width="content")
        if relevancy is None or not row.get("tokens"):
            st.text(clip(str(row.get("text") or ""), PASSAGE))
            return
        told = shown(row, relevancy)
        st.html(tinted(told[:PASSAGE_PIECES], chosen.look.colormap))
        if more := sum(piece.value is not None for piece in told[PASSAGE_PIECES:]):
            st.caption(f"and {more} words more")


def page() -> None:
    """The whole page."""
    run = frame.run()
    total = run.progress().explained
    if not total:
        st.title("Samples")
        frame.no_samples(run)
        return
    columns = run.columns()
    with st.sidebar:
        filters.panel(run, columns)
    matches = run.count(state.current().query)
    pages = max(1, -(-matches // state.current().size))
    if state.current().page > pages:
        state.change(page=pages)
        state.write_url()
    chosen = state.current()
    heading(columns, chosen, matches, total)
    toolbar(columns, chosen, run.has_pictures)
    if matches:
        pager(chosen, pages, "top")
        gallery(run, chosen) if run.has_pictures else texts(run, chosen)
        pager(chosen, pages, "bottom")
    else:
        st.info(
            "No sample matches all filters. Remove one of them, or clear them all.", icon=":material/filter_alt_off:"
        )


page()
