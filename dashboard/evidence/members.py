"""The members themselves."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboard import state
from dashboard.evidence import shown
from dashboard.evidence.subject import Subject

MOST = 12


def ids(subject: Subject) -> list[int]:
    """The samples that are shown."""
    return subject.members[:MOST].tolist()


def draw(subject: Subject) -> None:
    """The strongest members, and the way to all of them."""
    st.subheader("Members")
    st.text("The samples that show the cue, strongest first.")
    shown.samples(subject, subject.rows(ids(subject)), "members", columns=6)
    to_all(subject, f"All {len(subject.members):,} members")


def to_all(subject: Subject, label: str) -> None:
    """The link to all members in Samples."""
    view = replace(state.current().everything(), target=subject.target, members=subject.id)
    shown.to_samples(label, view)
