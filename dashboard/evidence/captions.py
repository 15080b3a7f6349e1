"""Texts before and after the test of a word, and captions that fit a picture better than its own."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import streamlit as st

from dashboard.evidence import shown
from dashboard.evidence.subject import Subject
from dashboard.selection import clip
from storage.queries import members as queries
from storage.queries.members import Peers

MOST = 4
REFERENCE = 1000  # texts that a picture is compared with
LENGTH = 400
_WORD = re.compile(r"\w+(?:['’-]\w+)*")  # "don't" is one word, and no place where "don" occurs


def without_word(text: str, word: str) -> str:
    """The text without any occurrence of a word, whatever its case, as the test takes it out."""
    found = _WORD.sub(lambda other: " " if other.group().lower() == word.lower() else other.group(), text)
    return text if found == text else " ".join(found.split())


@dataclass(frozen=True)
class Better:
    """A pair whose picture another text fits better: cosines of its own text and of the best of n others."""

    sample: int
    own: float
    other: int
    best: float
    of: int


def better_captions(subject: Subject) -> list[Better]:
    """Of the strongest members, the best fitting of at most 1000 texts; empty without stored embeddings."""
    reader, members = subject.run.reader, subject.members[:MOST]
    ids, images = queries.embeddings_of(reader, members, "image")
    own_ids, own = queries.embeddings_of(reader, members, "text")
    peers = Peers(subject.target, subject.modality)
    some = queries.peers_of(reader, peers, reader.sets.keep(members), REFERENCE, blockwise=True)
    other_ids, others = queries.embeddings_of(reader, some, "text")
    if not len(others) or not np.array_equal(ids, own_ids):
        return []
    cosines = images @ others.T
    best = cosines.argmax(axis=1)
    return [
        Better(int(ids[k]), float(images[k] @ own[k]), int(other_ids[best[k]]), float(cosines[k, best[k]]), len(others))
        for k in range(len(ids))
    ]


def mismatch(subject: Subject) -> None:
    """Pictures with their own caption and with the one that fits best."""
    found = subject.ask(better_captions)
    if not found:
        st.caption("The run stored no embeddings, so captions that would fit better cannot be looked up.")
        return
    rows = {row["sample_id"]: row for row in subject.rows([i for one in found for i in (one.sample, one.other)])}
    for one in found:
        if one.sample not in rows or one.other not in rows:
            continue
        left, right = st.columns([1, 4], gap="small")
        with left:
            shown.samples(subject, [rows[one.sample]], f"mismatch_{one.sample}", columns=1)
        with right:
            st.caption(f"Its own caption, cosine {one.own:.2f}")
            st.text(clip(str(rows[one.sample].get("text") or ""), LENGTH))
            st.caption(f"The caption that fits best of {one.of:,} others, cosine {one.best:.2f}")
            st.text(clip(str(rows[one.other].get("text") or ""), LENGTH))
    st.caption("The test replaced captions by the best fitting of a random choice of others; which ones is not stored.")


def words_of(subject: Subject) -> dict[int, str]:
    """The word that is taken out of each of the strongest members' texts."""
    told = subject.evidence.get("unsupported") or {}
    word = str(subject.cue.get("word") or "")
    found = {int(i): str(told.get(str(i)) or word) for i in subject.members[:MOST].tolist()}
    return {sample: word for sample, word in found.items() if word}


def word(subject: Subject) -> None:
    """Texts as they are and without the word."""
    taken = words_of(subject)
    rows = [row for row in subject.rows(list(taken)) if row.get("text")]
    if not rows:
        return
    grid = st.grid(2, min_column_width=320, gap=("small", "small"), key="word_before_after")
    for row in rows:
        out = taken[row["sample_id"]]
        with grid.cell(), st.container(border=True, gap="xxsmall"):
            st.caption(f"Sample {row['sample_id']}, as it is")
            st.text(clip(str(row["text"]), LENGTH))
            st.caption("Without the word")
            st.text(clip(without_word(str(row["text"]), out), LENGTH) or "(nothing is left)")
    st.caption("Texts of the strongest members; the control takes out another word, chosen at random.")
