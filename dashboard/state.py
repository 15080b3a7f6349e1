"""The one Selection of a browser tab: read from the URL, changed by widgets, written back to the URL.

Widgets are controlled: :func:`control` puts the value of the selection into the widget before it is
drawn, and its callback changes the selection before the next run. So a link, a button and a widget
all do the same thing, and no page holds state of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from dashboard.selection import NAMES, Params, Selection, params_to_state, state_to_params

_STATE, _PROBLEMS = "selection", "selection_problems"
PAGED = {"run", "target", "modality", "sort", "descending", "size", "search", "members", "tags", "sql", "only"}
_KNOWN, _SHOWN = "selection_known_url", "selection_of_known_url"  # the URL that was last read or written


def current() -> Selection:
    """The selection of this tab."""
    state = st.session_state.get(_STATE)
    return state if isinstance(state, Selection) else Selection()


def put(state: Selection) -> None:
    """Replace the selection."""
    st.session_state[_STATE] = state


def change(**values: Any) -> None:
    """Replace fields of the selection. A change of what is shown goes back to page 1."""
    if values.keys() & PAGED:
        values.setdefault("page", 1)
    put(replace(current(), **values))


def change_look(**values: Any) -> None:
    """Replace fields of the look (mode, opacity, colormap)."""
    put(replace(current(), look=replace(current().look, **values)))


def read_url() -> None:
    """Take over the URL when it is not the one we know: a link was opened, or Back was pressed.

    A URL without our parameters (a click in the navigation) keeps the selection of this tab.
    """
    params = _url()
    if params == st.session_state.get(_KNOWN):
        return
    if NAMES & params.keys() or _STATE not in st.session_state:
        state, problems = params_to_state(params)
        put(state)
        st.session_state[_PROBLEMS] = problems
        st.session_state[_KNOWN] = params
        st.session_state[_SHOWN] = None  # whatever the store makes of it: see settled()


def settled() -> None:
    """Call when the selection was fitted to the store: what a URL led to is what that URL stands for."""
    if st.session_state.get(_SHOWN) is None:
        st.session_state[_SHOWN] = current()


def write_url() -> None:
    """Make the URL hold the selection.

    A URL that already led to it stays as it is, even when it leaves things out: replacing it would add an
    entry to the history that Back could not leave any more.
    """
    params = _url()
    if params == st.session_state.get(_KNOWN) and current() == st.session_state.get(_SHOWN):
        return
    full = state_to_params(current())
    if params != _as_lists(full):
        st.query_params.from_dict(full)
    st.session_state[_KNOWN], st.session_state[_SHOWN] = _as_lists(full), current()


def add_problems(problems: list[str]) -> None:
    """Remember what could not be shown as the link says, for :func:`take_problems`."""
    st.session_state[_PROBLEMS] = [*st.session_state.get(_PROBLEMS, []), *problems]


def take_problems() -> list[str]:
    """The remembered problems, once."""
    return list(st.session_state.pop(_PROBLEMS, []))


def control(key: str, value: Any, on_change: Callable[[Any], None]) -> dict[str, Any]:
    """Keyword arguments that make a widget show ``value`` and hand the user's choice to ``on_change``.

    A widget whose value something else has changed is replaced by a new one, under a new key. Were it only
    given the new value, then a click elsewhere, made before that value has reached the browser, would send
    the old one back, and that would look like a choice of the user.
    """
    number = st.session_state.setdefault(f"{key}_number", 0)
    name = f"{key}_{number}" if number else key
    if name in st.session_state and st.session_state[name] != value:
        st.session_state[f"{key}_number"] = number + 1
        name = f"{key}_{number + 1}"
    st.session_state[name] = value
    return {"key": name, "on_change": lambda: on_change(st.session_state[name])}


def _url() -> dict[str, list[str]]:
    return {name: st.query_params.get_all(name) for name in st.query_params}


def _as_lists(params: Params) -> dict[str, list[str]]:
    return {name: [value] if isinstance(value, str) else value for name, value in params.items()}
