"""Samples: search, filter, sort, and a gallery of pictures with their relevancy; tag and export what was found."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard import filters, frame, looks, state, tiles, words
from dashboard.data import Row, Run
from dashboard.samples import chips, distribution, download, finder, opened, pager, picks, saved, sqlbox, tagging
from dashboard.samples.tile import passage, tile
from dashboard.selection import SIZES, Selection
from storage import ColumnInfo, SampleQuery

ORDERS = {"asc": ":material/arrow_upward:", "desc": ":material/arrow_downward:"}


def heading(run: Run, columns: Mapping[str, ColumnInfo], chosen: Selection, matches: int, total: int) -> None:
    """The title, how many samples match, and what narrows them."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Samples", width="content")
        st.markdown(f"**{matches:,}** of {total:,}", width="content")
        chips.draw(run, columns, chosen)


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


def tools(run: Run, query: SampleQuery, chosen: Selection, matches: int, rows: list[Row]) -> None:
    """What can be done with the samples that match."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if matches:
            tagging.popover(run, query, matches)
            download.popover(run, query, matches)
        opened.toggle(chosen, "histogram", "Distribution", "A histogram; a click on a bar keeps only its samples")
        opened.toggle(chosen, "sql", "SQL", "Ask the run, and use the answer as a filter")
        if matches:
            text = "A box under each sample; a tag or an export is then for those that are ticked"
            opened.toggle(chosen, "select", "Select", text)
            if opened.is_open(chosen, "select"):
                picks.buttons(run, _ids(rows))


def gallery(run: Run, rows: list[Row], chosen: Selection) -> None:
    """One page of tiles."""
    looks.legend(rows)
    grid = st.grid(6, min_column_width=140, gap=("small", "small"), key="gallery")
    theme = looks.theme()
    tags, picked = tagging.of(run, _ids(rows)), set(picks.of(run))
    for row, picture in zip(rows, tiles.gallery(run, rows, chosen.look, theme), strict=True):
        with grid.cell():
            tile(row, picture, chosen, tags.get(row["sample_id"], ()))
            if opened.is_open(chosen, "select"):
                picks.checkbox(run, row["sample_id"], picked)


def texts(run: Run, rows: list[Row], chosen: Selection) -> None:
    """One page of texts without pictures, their words tinted."""
    found = run.maps([(row["sample_id"], row["target"]) for row in rows], "text")
    st.caption("Colour: relevancy, least to most relevant word of each text.")
    grid = st.grid(2, min_column_width=420, gap=("small", "small"), key="texts")
    tags, picked = tagging.of(run, _ids(rows)), set(picks.of(run))
    for row in rows:
        with grid.cell():
            passage(row, found.get((row["sample_id"], row["target"])), chosen, tags.get(row["sample_id"], ()))
            if opened.is_open(chosen, "select"):
                picks.checkbox(run, row["sample_id"], picked)


def _ids(rows: list[Row]) -> list[int]:
    return [int(row["sample_id"]) for row in rows]


def sidebar(run: Run, columns: Mapping[str, ColumnInfo]) -> None:
    """Saved views, search, tags and filters."""
    with st.sidebar:
        saved.popover(run, "samples")
        finder.draw(run, state.current())
        filters.panel(run, columns)


def page() -> None:
    """The whole page."""
    run = frame.run()
    total = run.progress().explained
    if not total:
        st.title("Samples")
        frame.no_samples(run)
        return
    columns = run.columns()
    sidebar(run, columns)
    query = frame.query(state.current())
    matches = run.count(query)
    pages = max(1, -(-matches // state.current().size))
    if state.current().page > pages:
        state.change(page=pages)
        state.write_url()
    chosen = state.current()
    heading(run, columns, chosen, matches, total)
    toolbar(columns, chosen, run.has_pictures)
    needed = (*tiles.NEEDED, *(() if run.has_pictures else words.NEEDED), chosen.sort)
    rows = run.page(query, chosen.page, chosen.size, needed) if matches else []
    tools(run, query, chosen, matches, rows)
    if matches and opened.is_open(chosen, "histogram"):
        distribution.draw(run, columns, query, chosen)
    if opened.is_open(chosen, "sql"):
        sqlbox.draw(run, chosen)
    if not rows:
        st.info(
            "No sample matches all filters. Remove one of them, or clear them all.", icon=":material/filter_alt_off:"
        )
        return
    pager.draw(chosen, matches, "top")
    gallery(run, rows, chosen) if run.has_pictures else texts(run, rows, chosen)
    pager.draw(chosen, matches, "bottom")


page()
