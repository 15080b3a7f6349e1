"""The spuriosity strip (M. Moayeri et al., Spuriosity Rankings, NeurIPS 2023): samples of the class that show the cue
strongly above samples that show it weakly or not at all, each row with its accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard.evidence import intervals, shown
from dashboard.evidence.intervals import Estimate
from dashboard.evidence.subject import Subject
from storage.queries import members as queries

MOST, LOOKED_AT = 8, 200
FEWEST = 3  # samples without the cue that make a row; with fewer, the weakest members do
WITH = ("with", "without")


@dataclass(frozen=True)
class Group:
    """A row of the strip: which samples, what they are in words, and how well the model does on all such samples."""

    ids: tuple[int, ...]
    what: str
    measure: str
    result: Estimate
    percent: bool = True

    @property
    def line(self) -> str:
        """The result in words."""
        if not self.result.n:
            return f"{self.measure} unknown"
        return (
            f"{self.measure} {self.result.percent() if self.percent else self.result.number()}, n = {self.result.n:,}"
        )


def groups(subject: Subject) -> tuple[Group, Group]:
    """(strong, weak)."""
    if subject.of_pairs:
        return _by_score(subject)
    counted = counts(subject)
    return _by_accuracy(subject, counted) if counted else _by_confidence(subject)


def counts(subject: Subject) -> dict[str, tuple[int, int]] | None:
    """(right, all) of the samples labelled as the class "with" and "without" the cue; None where no sample is.

    The search for suspects has counted them among all that it looked at; a list without its counts is counted now.
    """
    told: dict[str, Any] = subject.evidence.get("consequence") or {}
    if "accuracy_with" in told and "accuracy_without" in told:
        found = {name: (int(told[f"accuracy_{name}"]["k"]), int(told[f"accuracy_{name}"]["n"])) for name in WITH}
    else:
        found = queries.tally(subject.run.reader, subject.peers("label"), subject.cue_set)
    return found if any(n for _, n in found.values()) else None


def _by_accuracy(subject: Subject, counted: dict[str, tuple[int, int]]) -> tuple[Group, Group]:
    """Samples labelled as the class."""
    name, reader, peers = subject.class_name, subject.run.reader, subject.peers("label")
    head = subject.members[:LOOKED_AT].tolist()
    of_class = queries.which_of(reader, peers, head)
    strong, what = [i for i in head if i in of_class][:MOST], f"samples labelled {name} that show the cue"
    if not strong:
        strong, what = head[:MOST], f"samples called {name} that show the cue; none of these is labelled so"
    weak = queries.peers_of(reader, peers, subject.cue_set, MOST)
    results = [intervals.share(*counted[key]) for key in WITH]
    return (
        Group(tuple(strong), f"{what}, strongest first", "accuracy", results[0]),
        _weak(subject, weak, f"samples labelled {name} in which the cue was not found", "accuracy", results[1]),
    )


def _by_confidence(subject: Subject) -> tuple[Group, Group]:
    """Samples called the class, where nobody knows what they are."""
    name, peers = subject.class_name, subject.peers("predicted")
    found = queries.spread(subject.run.reader, peers, subject.member_set, "confidence")
    weak = queries.peers_of(subject.run.reader, peers, subject.member_set, MOST)
    strong = f"samples called {name} that show the cue, strongest first; without labels there is no accuracy"
    results = [intervals.mean(found[key].n, found[key].mean, found[key].deviation) for key in WITH]
    return (
        Group(tuple(subject.members[:MOST].tolist()), strong, "mean confidence", results[0]),
        _weak(subject, weak, f"samples called {name} in which the cue was not found", "mean confidence", results[1]),
    )


def _by_score(subject: Subject) -> tuple[Group, Group]:
    """Pairs: those with the cue's word, or all."""
    worded = bool(subject.cue.get("word")) and subject.kind != "pair_word"
    word = str(subject.cue["word"]) if worded else ""
    peers = queries.Peers(subject.target, subject.modality, "word" if worded else "all", word)
    found = queries.spread(subject.run.reader, peers, subject.member_set, "score")
    weak = queries.peers_of(subject.run.reader, peers, subject.cue_set, MOST)
    whose = f"pairs with the word “{word}”" if worded else "pairs"
    results = [intervals.mean(found[key].n, found[key].mean, found[key].deviation) for key in WITH]
    strong = Group(
        tuple(subject.members[:MOST].tolist()),
        f"{whose} that show the cue, strongest first",
        "mean score",
        results[0],
        False,
    )
    return strong, _weak(subject, weak, f"other {whose}", "mean score", results[1], False)


def _weak(subject: Subject, ids: list[int], what: str, measure: str, result: Estimate, percent: bool = True) -> Group:
    """The samples without the cue; the weakest members where there are nearly none."""
    if len(ids) >= FEWEST:
        return Group(tuple(ids), f"{what}, in mixed order", measure, result, percent)
    tail = subject.members[MOST:][::-1][:MOST].tolist()
    return Group(
        tuple(tail), f"the weakest of its members: there are only {len(ids)} {what}", measure, result, percent
    )  # fmt: skip


def ids(subject: Subject) -> list[int]:
    """The samples of both rows."""
    strong, weak = subject.ask(groups)
    return [*strong.ids, *weak.ids]


def draw(subject: Subject) -> None:
    """Two rows of tiles."""
    strong, weak = subject.ask(groups)
    st.subheader("With the cue and without it")
    for key, title, group in (("strong", "Cue strong", strong), ("weak", "Cue weak or absent", weak)):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{title}**", width="content")
            st.badge(group.line, color="gray", width="content")
            st.text(f"{group.what[:1].upper()}{group.what[1:]}.", width="content")
        shown.samples(subject, subject.rows(group.ids), f"strip_{key}")
    st.caption(notes(subject, strong))


def notes(subject: Subject, strong: Group) -> str:
    """How the numbers are to be read."""
    method = "Wilson" if strong.measure == "accuracy" else "normal"
    said = f"In brackets: 95 % interval ({method}); n counts all samples of the row, not only those shown."
    if strong.measure == "accuracy":
        said += " Samples that show the cue but are called something else count as wrong with the cue."
    if subject.partly_searched:
        said += (
            f" Cues were looked for in {subject.searched:,} of {subject.total:,} samples: in the others the cue may be "
            "there unseen."
        )
    return said
