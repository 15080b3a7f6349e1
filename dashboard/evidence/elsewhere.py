"""The cue outside its class: samples of other classes that show it, and what they are called."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from dashboard import state
from dashboard.evidence import dots, intervals, shown
from dashboard.evidence.dots import Dot
from dashboard.evidence.subject import Subject
from dashboard.selection import MAX_VALUES
from storage import Filter
from storage.queries import members as queries

MOST = 6


@dataclass(frozen=True)
class Elsewhere:
    """Samples that show the cue but are of another class: those called the class, and those called something else."""

    fooled: tuple[int, ...]
    others: tuple[int, ...]


def found(subject: Subject) -> Elsewhere:
    """A few of each."""
    fooled: list[int] = []
    if not subject.of_pairs:
        fooled = queries.peers_of(
            subject.run.reader, subject.peers("predicted"), subject.member_set, MOST, inside=True, wrong=True
        )
    return Elsewhere(tuple(fooled), tuple(subject.elsewhere[:MOST].tolist()))


def ids(subject: Subject) -> list[int]:
    """The samples that are shown."""
    some = subject.ask(found)
    return [*some.fooled, *some.others]


def rates(subject: Subject) -> list[Dot]:
    """The chart's lines: accuracy in the class and errors outside it, with the cue and without it."""
    told: dict[str, Any] = subject.evidence.get("consequence") or {}
    name = subject.class_name
    lines = (
        ("accuracy_with", f"{name} with the cue: right", False),
        ("accuracy_without", f"{name} without it: right", True),
        ("called", f"others with the cue: called {name}", False),
        ("called_without", f"others without it: called {name}", True),
    )
    drawn = []
    for key, line, control in lines:
        part = told.get(key) or {}
        one = intervals.share(int(part.get("k") or 0), int(part.get("n") or 0))
        if one.value is not None:
            drawn.append(Dot(line, one.value, one.low, one.high, control, f"{part['k']:,} of {part['n']:,}"))
    return drawn


def draw(subject: Subject) -> None:
    """What the cue does elsewhere."""
    st.subheader("Where else the cue occurs")
    drawn = rates(subject)
    if drawn:
        st.html(dots.drawn(drawn, "share of the samples", percent=True))
        told = subject.evidence["consequence"]
        leaning = told.get("leaning") or {}
        if leaning.get("n"):
            st.text(
                f"{leaning['k']:,} of the {leaning['n']:,} right answers of {subject.class_name} show the cue"
                f": {intervals.share(leaning['k'], leaning['n']).percent()}."
            )
        st.caption("By the labels; lines: 95 % Wilson interval. Filled: with the cue; open: without it.")
    some = subject.ask(found)
    if some.fooled:
        called = (subject.evidence.get("consequence") or {}).get("called") or {}
        counted = f": {called['k']:,} of {called['n']:,} samples of other classes" if called.get("n") else ""
        st.text(f"Labelled otherwise, but called {subject.class_name} with the cue{counted}.")
        shown.samples(subject, subject.rows(some.fooled), "fooled", columns=6)
        wrong = Filter("correct", "eq", False)
        view = replace(state.current().everything(), target=subject.target, members=subject.id, filters=(wrong,))
        shown.to_samples("All members that are wrong", view, "error")
    elsewhere(subject, some)
    if not drawn and not some.fooled and not len(subject.elsewhere):
        st.text("Nowhere else, as far as the search has seen.")


def elsewhere(subject: Subject, some: Elsewhere) -> None:
    """Samples with the cue that are no members."""
    if not some.others:
        return
    total, known = int(subject.evidence.get("elsewhere") or len(subject.elsewhere)), len(subject.elsewhere)
    if subject.of_pairs:
        said = (
            "other pair shows the cue and does not go with it"
            if total == 1
            else ("other pairs show the cue and do not go with it")
        )
    else:
        said = "sample shows the cue and is called" if total == 1 else "samples show the cue and are called"
        said += f" something else than {subject.class_name}"
    st.text(f"{total:,} {said}.")
    shown.samples(subject, subject.rows(some.others), "elsewhere", columns=6)
    count = min(known, MAX_VALUES)
    label = "Open in Samples" if count == total else f"{count:,} of the {total:,} in Samples"
    shown.to_samples(label, shown.of_ids(subject, subject.elsewhere.tolist()))
