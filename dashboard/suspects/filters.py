"""The filters of the list: one control per filter, each changes the Selection."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import state
from dashboard.selection import clip
from dashboard.suspects import kinds, listing

LABELS = {
    "flagged": "probably spurious",
    "mine": "My verdict",
    "team": "Team verdict",
    "kind": "Kind",
    "status": "Status",
    "class": "Class",
}


def controls(offered: dict[str, list[str]], wanted: dict[str, list[str]]) -> None:
    """One control per filter."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for group in ("kind", "status", "class", "mine", "team"):
            names = kinds.names(offered[group]) if group == "kind" else {}
            _filter(group, {value: clip(names.get(value, value), 40) for value in offered[group]}, wanted[group])
        st.toggle(
            "Probably spurious",
            **state.control(
                "only_flagged",
                bool(wanted["flagged"]),
                _choose_flagged,
            ),
        )


def _filter(group: str, offered: dict[str, str], wanted: list[str]) -> None:
    """A choice among values, each with what people call it."""
    st.multiselect(
        LABELS[group],
        list(offered),
        format_func=offered.__getitem__,
        placeholder="any",
        width=142,
        **state.control(f"only_{group}", wanted, lambda values: _choose(group, values)),
    )


def _choose(group: str, values: Sequence[str]) -> None:
    state.put(state.current().with_only(group, values))


def _choose_flagged(on: bool) -> None:
    _choose("flagged", [listing.FLAGGED] if on else [])


def clear() -> None:
    """No filter any more."""
    state.change(only=())
