"""Samples as small tiles, or as passages where a run has no pictures; links to them in Samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from dashboard import looks, state, tiles, words
from dashboard.data import Row
from dashboard.evidence.subject import Subject
from dashboard.pictures import draw_picture
from dashboard.samples.tile import verdict
from dashboard.selection import MAX_VALUES, Selection, clip, link, state_to_params
from storage import Filter

PIECES = 60  # words of a passage that are shown


def samples(subject: Subject, rows: Sequence[Row], key: str, columns: int = 8) -> None:
    """A row or more of samples, each with its verdict and a link to its page."""
    if not rows:
        return
    if not subject.run.has_pictures:
        passages(subject, rows, key)
        return
    chosen = state.current()
    pictures = tiles.gallery(subject.run, rows, chosen.look, looks.theme())
    grid = st.grid(columns, min_column_width=112, gap=("small", "xsmall"), key=key)
    for row, picture in zip(rows, pictures, strict=True):
        with grid.cell(), st.container(horizontal_alignment="center", gap="xxsmall"):
            tile(row, picture, one(subject, chosen, row), 14 if columns > 6 else 18)


def tile(row: Row, picture: bytes, here: Selection, length: int) -> None:
    """One picture as a link to its sample, what it is called, and whether that is right."""
    draw_picture(picture, link=link("sample", here), alt=f"Sample {row['sample_id']}, {names(row, 60)}")
    st.page_link(
        "app_pages/sample.py",
        label=words.literal(names(row, length)),
        query_params=state_to_params(here),
        width="content",
    )
    st.caption(verdict(row, "score"), text_alignment="center", wrap=False)


def passages(subject: Subject, rows: Sequence[Row], key: str) -> None:
    """Texts with their words tinted."""
    chosen = state.current()
    found = subject.run.maps([(row["sample_id"], row["target"]) for row in rows], "text")
    grid = st.grid(2, min_column_width=340, gap=("small", "xsmall"), key=key)
    for row in rows:
        here = one(subject, chosen, row)
        with grid.cell(), st.container(border=True, gap="xxsmall"):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.page_link(
                    "app_pages/sample.py",
                    label=words.literal(names(row)),
                    query_params=state_to_params(here),
                    width="content",
                )
                st.caption(verdict(row, "score"), width="content")
            relevancy = found.get((row["sample_id"], row["target"]))
            if relevancy is None:
                st.text(clip(str(row.get("text") or ""), 400))
            else:
                st.html(words.tinted(words.shown(row, relevancy)[:PIECES], chosen.look.colormap))


def one(subject: Subject, chosen: Selection, row: Row) -> Selection:
    """The view of a single sample."""
    return replace(chosen, target=subject.target, sample=int(row["sample_id"]))


def names(row: Row, length: int = 20) -> str:
    """The class of a sample, or label and prediction where they differ, or its caption."""
    label, predicted = row.get("label"), row.get("predicted")
    if label is not None and predicted is not None and label != predicted:
        return f"{clip(str(label), length // 2)} → {clip(str(predicted), length // 2)}"
    name = predicted if predicted is not None else row.get("text") if row.get("text") else label
    return clip(str(name), length) if name else f"sample {row['sample_id']}"


def to_samples(label: str, view: Selection, icon: str = "grid_view") -> None:
    """A link to Samples; the label is shown as it stands."""
    st.page_link(
        "app_pages/samples.py",
        label=words.literal(label),
        icon=f":material/{icon}:",
        query_params=state_to_params(replace(view, sample=None)),
        width="content",
    )


def of_ids(subject: Subject, ids: Sequence[int]) -> Selection:
    """The view of Samples that shows exactly these; of more than a link can hold, the first."""
    condition = Filter("sample_id", "in", tuple(int(i) for i in ids[:MAX_VALUES]))
    return replace(state.current().everything(), target=subject.target, filters=(condition,))
