"""The focus of the list: the buttons and keys that move it, and bringing it into sight."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import identity, state
from dashboard.data import Run
from dashboard.selection import state_to_params
from dashboard.suspects import listing, verdicts
from dashboard.suspects.card import FOCUSED
from dashboard.suspects.listing import Filtered
from dashboard.words import literal

_MOVED, _ALL_DONE = "suspects_focus_moved", "suspects_all_reviewed"
FOCUS_STYLE = f"<style>.st-key-{FOCUSED} {{ outline: 2px solid currentColor; outline-offset: -1px; }}</style>"


def buttons(run: Run, listed: Filtered) -> None:
    """The buttons that move the focus, each with its key, below everything else and always in sight."""
    person, names = identity.current(), [str(row["id"]) for row in listed.rows]
    now = listed.focus
    assert now is not None
    with st.bottom, st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _move("Previous", "K", "arrow_upward", listed.near(-1))
        _move("Next", "J", "arrow_downward", listed.near(1))
        st.button(
            "Next unreviewed",
            icon=":material/skip_next:",
            key="focus_unreviewed",
            shortcut="N",
            disabled=not person.may_review,
            help=literal(identity.why_not(person)) or None,
            on_click=_to_unreviewed,
            args=(run, names, now["id"]),
        )
        evidence = st.button("Evidence", icon=":material/fact_check:", key="focus_evidence", shortcut="E")
        st.caption(
            f"{listed.place + 1} of {len(listed.rows)} in focus · **1** core feature · **2** spurious · **3** unsure "
            "· **U** undo",
            width="content",
        )
    if st.session_state.pop(_ALL_DONE, False):
        st.toast("You have reviewed every suspect of this list.", icon=":material/done_all:")
    if evidence:
        state.change(suspect=now["id"])
        st.switch_page("app_pages/evidence.py", query_params=state_to_params(state.current()))


def _move(label: str, shortcut: str, icon: str, to: str) -> None:
    st.button(
        label,
        icon=f":material/{icon}:",
        key=f"focus_{label.lower()}",
        shortcut=shortcut,
        disabled=not to,
        on_click=focus,
        args=(to,),
    )


def focus(suspect: str) -> None:
    """Put a suspect in focus, and its card into sight."""
    state.change(suspect=suspect)
    st.session_state[_MOVED] = st.session_state.get(_MOVED, 0) + 1


def _to_unreviewed(run: Run, names: Sequence[str], after: str) -> None:
    standing, _ = verdicts.standing(run)
    found = listing.next_unreviewed(names, after, standing, identity.current().name)
    if found:
        focus(found)
    else:
        st.session_state[_ALL_DONE] = True


def show_focus(listed: Filtered) -> None:
    """Bring the card in focus into sight after the focus has moved, or a link has led to it."""
    moved = st.session_state.get(_MOVED, 0)
    st.html(FOCUS_STYLE)
    if moved or listed.focus is not listed.shown[0]:  # the number makes it another script, which the browser runs once
        find = f"document.querySelector('.st-key-{FOCUSED}')"
        script = f"<script>/* {moved} */ {find}?.scrollIntoView({{block: 'center'}})</script>"
        st.html(script, unsafe_allow_javascript=True)
