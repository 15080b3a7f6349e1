"""The head of the page: which suspect, what is known of it in words, and what people say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from dashboard import reviews, state
from dashboard.data import Row, Run
from dashboard.evidence import members
from dashboard.evidence.subject import Subject
from dashboard.selection import Selection, clip, state_to_params
from dashboard.suspects import verdicts
from dashboard.words import literal
from storage import Entry, address_of, wording
from storage.reviews.agreement import Agreement

STATUS = {
    "verified": ("check_circle", "green"),
    "refuted": ("block", "gray"),
    "unverified": ("help", "orange"),
}
HISTORY = "verdict_history"


def neighbours(rows: Sequence[Row], suspect: str) -> tuple[str | None, str | None, int]:
    """(previous id, next id, place from 1) of a suspect in a list; place 0 for one that is not in it."""
    ids = [str(row["id"]) for row in rows]
    if suspect not in ids:
        return None, None, 0
    place = ids.index(suspect)
    return (ids[place - 1] if place else None), (ids[place + 1] if place + 1 < len(ids) else None), place + 1


def steps(rows: Sequence[Row], suspect: str) -> None:
    """Back to the list, previous and next."""
    before, after, place = neighbours(rows, suspect)
    with st.container(horizontal=True, vertical_alignment="center"):
        to_list("Back to suspects", state.current())
        for name, other, icon, key in (
            ("Previous", before, "chevron_left", "Left"),
            ("Next", after, "chevron_right", "Right"),
        ):
            st.button(
                name,
                icon=f":material/{icon}:",
                icon_position="left" if name == "Previous" else "right",
                shortcut=key,
                disabled=other is None,
                on_click=_open,
                args=(other,),
                key=f"{name.lower()}_suspect",
            )
        st.caption(f"{place:,} of {len(rows):,} suspects" if place else f"{len(rows):,} suspects", width="content")


def _open(suspect: str | None) -> None:
    if suspect is not None:
        state.change(suspect=suspect)


def to_list(label: str, view: Selection) -> None:
    """The link to the list of suspects."""
    st.page_link(
        "app_pages/suspects.py",
        label=label,
        icon=":material/policy:",
        query_params=state_to_params(replace(view, sample=None)),
        width="content",
    )


def none_yet(run: Run) -> None:
    """What to do where nobody has looked for suspects."""
    st.title("Evidence")
    st.info("Nobody has looked for suspects in this run yet. This finds and tests them:", icon=":material/info:")
    st.code(f"python -m jobs suspects {run.id} --store {address_of(run.store)}", language="bash", wrap_lines=True)
    to_list("Open Suspects", state.current())


def unknown(suspect: str) -> None:
    """A link to a suspect that is not there."""
    st.title("Evidence")
    st.warning(literal(f"This run has no suspect “{clip(suspect)}” (any more)."), icon=":material/search_off:")
    to_list("Open the list of suspects", replace(state.current(), suspect=""))


def draw(subject: Subject) -> None:
    """Title, numbers, evidence in words, verdicts."""
    row = subject.row
    st.title(literal(wording.title(row)))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(wording.kind_name(subject.kind), color="blue", help=wording.kind_meaning(subject.kind) or None)
        icon, color = STATUS.get(str(row["status"]), ("help", "gray"))
        st.badge(str(row["status"]), icon=f":material/{icon}:", color=color)  # type: ignore[arg-type]
        if row["flagged"]:
            st.badge("probably spurious", icon=":material/flag:", color="red")
        st.text(wording.count_line(row), width="content")
        members.to_all(subject, f"All {len(subject.members):,} members")
    st.text(wording.sentence(wording.status_line(row)))
    evidence = wording.evidence_lines(row)
    if evidence:
        st.markdown("\n".join(f"- {literal(line)}" for line in evidence))
    st.caption(literal(wording.sentence(wording.chance_line(subject.run.suspects().about))))
    verdicts.verdict_buttons(subject.run, row, keys=True, also=(HISTORY,))
    st.fragment(_history, key=HISTORY)(subject)


def _history(subject: Subject) -> None:
    """What everybody said of the suspect, and how well people agree over the run."""
    database = reviews.of(subject.run.store)
    entries = database.history(subject.run.id, subject.id)
    if not entries:
        return
    with st.expander(f"History of verdicts ({len(entries)})", icon=":material/history:", expanded=len(entries) <= 4):
        told = history(entries)
        st.dataframe(
            told,
            hide_index=True,
            height="content" if len(told) <= 8 else 300,
            alt="Who gave which verdict when",
            column_config={
                "at": st.column_config.DatetimeColumn("When (UTC)", format="YYYY-MM-DD HH:mm:ss"),
                "who": st.column_config.TextColumn("Who"),
                "verdict": st.column_config.TextColumn("Verdict"),
                "note": st.column_config.TextColumn("Note", width="large"),
            },
        )
        if line := agreement_line(database.agreement(subject.run.id)):
            st.caption(line)


def history(entries: Sequence[Entry]) -> list[Row]:
    """The lines of the log for people, the latest first; what was taken back says so."""
    taken = {entry.takes_back for entry in entries if entry.takes_back is not None}
    given = {entry.id: entry.verdict for entry in entries}
    rows: list[Row] = []
    for entry in reversed(entries):
        if entry.takes_back is not None:
            verdict = f"undo of “{given.get(entry.takes_back, 'a verdict')}”"
        else:
            verdict = f"{entry.verdict} (undone)" if entry.id in taken else entry.verdict
        rows.append({"at": entry.at, "who": entry.reviewer, "verdict": verdict, "note": entry.note})
    return rows


def agreement_line(agreement: Agreement) -> str:
    """How well reviewers agree, in words; empty for fewer than two."""
    if agreement.reviewers < 2 or agreement.agreed is None:
        return ""
    kappa = "not defined, as everybody always says the same" if agreement.kappa is None else f"{agreement.kappa:.2f}"
    return (
        f"Agreement of {agreement.reviewers} reviewers on {agreement.suspects:,} suspects of this run: they say the "
        f"same of {agreement.agreed:.0%}; Fleiss' kappa {kappa} (1: full agreement, 0: as by chance)."
    )
