"""Verdicts on a suspect: the buttons, what the team says, and writing both at once when somebody decides.

A panel is a fragment of its own: a verdict draws the panel again, and the fragments that a page names, not the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dashboard import identity, reviews
from dashboard.data import Row, Run
from dashboard.selection import clip
from dashboard.words import literal
from storage import VERDICTS, Entry, StoreError, team_verdict

ICONS = {
    "core feature": ":material/check_circle:",
    "spurious": ":material/report:",
    "unsure": ":material/help:",
    "split": ":material/call_split:",
}
MOST_NOTE = 2000  # characters of a note
_SAID = "verdict_said"  # (suspect, whether it went wrong, text): what became of the latest click


def verdict_buttons(run: Run, row: Row, *, keys: bool, also: Sequence[str] = ()) -> None:
    """The buttons core feature, spurious, unsure and undo of a suspect, and what this person and the team say.

    Args:
        keys: whether this is the suspect that the keyboard is about: its buttons answer 1, 2, 3 and U, and it has a
            field for a note.
        also: keys of fragments that show verdicts as well, to be drawn again after each.
    """
    st.fragment(_panel, key=fragment_of(row))(run, row, keys, tuple(also))


def fragment_of(row: Row) -> str:
    """The key of the fragment of a suspect's buttons."""
    return f"verdict_{row['id']}"


def standing(run: Run) -> tuple[dict[str, list[Entry]], str]:
    """The standing verdicts of each suspect, one per reviewer; none and why when they cannot be read."""
    try:
        return reviews.standing(run.store, run.id), ""
    except StoreError as problem:
        return {}, str(problem)


def of(run: Run, row: Row) -> list[Entry]:
    """The standing verdicts of a suspect, one per reviewer; none when they cannot be read."""
    return standing(run)[0].get(row["id"], [])


def own(entries: Sequence[Entry], name: str) -> Entry | None:
    """The standing verdict of one person."""
    return next((entry for entry in entries if entry.reviewer == name), None) if name else None


def team_line(entries: Sequence[Entry]) -> str:
    """What the team says, with names: "spurious (ann, bob)", or "split: core feature (ann), spurious (bob)"."""
    said = [
        f"{verdict} ({', '.join(clip(entry.reviewer, 30) for entry in entries if entry.verdict == verdict)})"
        for verdict in VERDICTS
        if any(entry.verdict == verdict for entry in entries)
    ]
    if not said:
        return "no verdict yet"
    return said[0] if len(said) == 1 else f"split: {', '.join(said)}"


def _panel(run: Run, row: Row, keys: bool, also: tuple[str, ...]) -> None:
    person, entries = identity.current(), of(run, row)
    why, mine = identity.why_not(person), own(entries, person.name)
    again = (fragment_of(row), *also)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for number, verdict in enumerate(VERDICTS, 1):
            st.button(
                verdict.capitalize(),
                icon=ICONS[verdict],
                key=f"give_{row['id']}_{verdict}",
                type="primary" if mine is not None and mine.verdict == verdict else "secondary",
                shortcut=str(number) if keys else None,
                disabled=bool(why),
                help=literal(why) or None,
                on_click=_give,
                args=(run.store, run.id, row["id"], verdict, again),
            )
        st.button(
            "Undo",
            icon=":material/undo:",
            key=f"undo_{row['id']}",
            type="tertiary",
            shortcut="U" if keys else None,
            disabled=bool(why) or mine is None,
            on_click=_undo,
            args=(run.store, run.id, row["id"], again),
        )
        st.caption(f"Team: {literal(team_line(entries))}", width="content")
        if mine is not None:
            note = f" – {literal(clip(mine.note, 200))}" if mine.note else ""
            st.caption(f"You: {mine.verdict}{note}", width="content")
    if keys and not why:
        st.text_input(
            "Note",
            key=_note(row["id"]),
            max_chars=MOST_NOTE,
            label_visibility="collapsed",
            placeholder="Note (optional): stored with your next verdict on this suspect",
            icon=":material/edit_note:",
        )
    if why and keys:
        st.caption(literal(why))
    _say_what_happened(row["id"])


def _note(suspect: str) -> str:
    return f"note_{suspect}"


def _say_what_happened(suspect: str) -> None:
    about, wrong, text = st.session_state.get(_SAID, ("", False, ""))
    if about == suspect and wrong:
        st.error(literal(text), icon=":material/error:")
    elif about == suspect:
        st.caption(f":green[:material/check: {literal(text)}]")


def _give(store: Path, run: str, suspect: str, verdict: str, again: tuple[str, ...]) -> None:
    """Store a verdict, with the note that stands beside it."""
    person = identity.current()
    note = str(st.session_state.get(_note(suspect)) or "").strip()
    try:
        if not person.may_review:
            raise StoreError(identity.why_not(person))
        reviews.of(store).give_verdict(run, suspect, verdict, person.name, note)
        st.session_state[_SAID] = (suspect, False, f"Stored as {verdict}{', with your note' if note else ''}.")
        st.session_state[_note(suspect)] = ""
    except StoreError as problem:
        st.session_state[_SAID] = (suspect, True, f"Not stored: {problem}")
    st.rerun(list(again))


def _undo(store: Path, run: str, suspect: str, again: tuple[str, ...]) -> None:
    """Take this person's verdict of a suspect back."""
    person = identity.current()
    try:
        if not person.may_review:
            raise StoreError(identity.why_not(person))
        database = reviews.of(store)
        taken = database.undo_verdict(run, person.name, suspect)
        before = own([entry for entry in database.standing(run) if entry.suspect == suspect], person.name)
        said = "There was nothing to take back." if taken is None else "Taken back."
        said += f" Your earlier verdict stands again: {before.verdict}." if taken and before else ""
        st.session_state[_SAID] = (suspect, False, said)
    except StoreError as problem:
        st.session_state[_SAID] = (suspect, True, f"Not taken back: {problem}")
    st.rerun(list(again))


def counts(run: Run, suspects: Sequence[str], name: str) -> tuple[int, int]:
    """(reviewed by anybody, reviewed by this person) among suspects."""
    found, _ = standing(run)
    own_ones = sum(own(found.get(suspect, []), name) is not None for suspect in suspects)
    return sum(bool(found.get(suspect)) for suspect in suspects), own_ones


def team(run: Run, row: Row) -> str:
    """The team's verdict of a suspect: "" for none, one of VERDICTS, or "split"."""
    return team_verdict(of(run, row))
