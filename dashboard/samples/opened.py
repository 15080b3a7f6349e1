"""Which foldable parts of a page are open. They are part of the view, so that a link opens them, too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from dashboard import state
from dashboard.selection import Selection

GROUP = "open"


def is_open(chosen: Selection, name: str) -> bool:
    """Whether a part is open."""
    return name in chosen.chosen(GROUP)


def set_open(name: str, wanted: bool) -> None:
    """Open or close a part; the page number stays."""
    chosen = state.current()
    others = [value for value in chosen.chosen(GROUP) if value != name]
    state.put(replace(chosen.with_only(GROUP, [*others, name] if wanted else others), page=chosen.page))


def toggle(chosen: Selection, name: str, label: str, help: str) -> None:
    """A switch that opens and closes a part."""
    given = state.control(f"open_{name}", is_open(chosen, name), lambda value: set_open(name, bool(value)))
    st.toggle(label, help=help, **given)


def expander(chosen: Selection, name: str, label: str, icon: str) -> Any:
    """An expander whose state is in the link. Fill it only when :func:`is_open`: what is closed costs nothing."""
    given = state.control(f"open_{name}", is_open(chosen, name), lambda value: set_open(name, bool(value)))
    return st.expander(label, icon=icon, **given)
