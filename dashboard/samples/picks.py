"""The samples that a person has ticked. They last as long as the browser tab; a tag keeps them for others."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from dashboard.data import Run

_PICKED, _DRAWN = "picked_samples", "picked_samples_drawn"


def of(run: Run) -> list[int]:
    """The ticked samples of a run, sorted."""
    name, ids = st.session_state.get(_PICKED, ("", frozenset()))
    return sorted(ids) if name == run.id else []


def put(run: Run, ids: Iterable[int]) -> None:
    """Tick exactly these samples."""
    st.session_state[_PICKED] = (run.id, frozenset(int(i) for i in ids))
    st.session_state[_DRAWN] = st.session_state.get(_DRAWN, 0) + 1  # boxes that are drawn anew show it


def checkbox(run: Run, sample_id: int, picked: set[int]) -> None:
    """The box of one sample."""
    key = f"pick_{st.session_state.get(_DRAWN, 0)}_{sample_id}"

    def turn() -> None:
        ids = set(of(run))
        st.session_state[_PICKED] = (
            run.id,
            frozenset(ids | {sample_id} if st.session_state[key] else ids - {sample_id}),
        )

    st.checkbox(f"Sample {sample_id}", value=sample_id in picked, key=key, on_change=turn)


def buttons(run: Run, page_ids: list[int]) -> None:
    """Ticking or clearing many at once, and how many are ticked."""
    picked = of(run)
    st.button(
        "Select page", icon=":material/select_all:", key="pick_page", on_click=put, args=(run, {*picked, *page_ids})
    )
    st.button(
        "Clear selection",
        icon=":material/deselect:",
        key="pick_none",
        disabled=not picked,
        on_click=put,
        args=(run, ()),
    )
    st.markdown(f"**{len(picked):,}** selected", width="content")
