"""From page to page, and straight to any place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from dashboard import state
from dashboard.selection import Selection


def draw(chosen: Selection, matches: int, place: str) -> None:
    """Page buttons and fields to jump to a page or to the page of a sample; at the ``top`` arrow keys turn the page."""
    pages = max(1, -(-matches // chosen.size))
    if pages <= 1:
        return
    # The default cannot be combined with a value in the session state, so the page is part of the key.
    key = f"pager_{place}_{chosen.page}"
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="left"):
        if place == "top":
            _turn("Previous", "chevron_left", "Left", chosen.page - 1, chosen.page > 1)
        st.pagination(
            pages,
            default=chosen.page,
            key=key,
            width=max(34 * (min(pages, 7) + 2), 180),  # less hides the second of two pages
            on_change=lambda: state.change(page=st.session_state[key]),
        )
        if place == "top":
            _turn("Next", "chevron_right", "Right", chosen.page + 1, chosen.page < pages)
        if pages > 7:
            _field("Go to page", chosen.page, pages, f"jump_{place}", lambda page: state.change(page=page))
        if place == "top":
            first = (chosen.page - 1) * chosen.size + 1
            _field("Go to sample", first, matches, "jump_sample", lambda k: go_to(k, chosen.size))


def go_to(position: int, size: int) -> None:
    """The page that has a place of the order, from 1."""
    state.change(page=(position - 1) // size + 1)


def _turn(name: str, icon: str, key: str, page: int, there: bool) -> None:
    st.button(
        name,
        icon=f":material/{icon}:",
        icon_position="right" if key == "Right" else "left",
        shortcut=key,
        disabled=not there,
        key=f"turn_{key.lower()}",
        on_click=state.change,
        kwargs={"page": page},
    )


def _field(label: str, value: int, most: int, key: str, choose: Callable[[int], None]) -> None:
    given: Any = state.control(key, value, choose)
    with st.container(horizontal=True, vertical_alignment="center", width="content"):
        st.caption(label, width="content")
        st.number_input(
            label,
            1,
            most,
            step=1,
            width=120,
            label_visibility="collapsed",
            **given,
        )
