"""One sample of a gallery or a list."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from dashboard.data import Row
from dashboard.pictures import draw_picture
from dashboard.samples import tagging
from dashboard.selection import Selection, clip, link, state_to_params
from dashboard.words import literal, shown, tinted

PASSAGE, PASSAGE_PIECES = 400, 80  # characters and tokens of a text in the list


def tile(row: Row, picture: bytes, chosen: Selection, tags: tuple[str, ...] = ()) -> None:
    """One sample: picture, label and prediction as a link to its page, verdict, caption, tags."""
    here = replace(chosen, sample=int(row["sample_id"]))
    with st.container(horizontal_alignment="center", gap="xxsmall"):
        draw_picture(picture, link=link("sample", here), alt=f"Sample {row['sample_id']}, {names(row)}")
        st.page_link(
            "app_pages/sample.py", label=literal(names(row)), query_params=state_to_params(here), width="content"
        )
        st.caption(verdict(row, chosen.sort), text_alignment="center", wrap=False)
        if row.get("text") and (row.get("label") is not None or row.get("predicted") is not None):
            st.text(clip(str(row["text"]), 90), wrap=False, width="stretch", text_alignment="center")
        tagging.line(tags)


def passage(row: Row, relevancy: Any, chosen: Selection, tags: tuple[str, ...] = ()) -> None:
    """One text: a link to its page, the verdict, its words."""
    here = replace(chosen, sample=int(row["sample_id"]))
    with st.container(border=True, gap="xxsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.page_link(
                "app_pages/sample.py", label=literal(names(row)), query_params=state_to_params(here), width="content"
            )
            st.caption(verdict(row, chosen.sort), width="content")
        if relevancy is None or not row.get("tokens"):
            st.text(clip(str(row.get("text") or ""), PASSAGE))
        else:
            told = shown(row, relevancy)
            st.html(tinted(told[:PASSAGE_PIECES], chosen.look.colormap))
            if more := sum(piece.value is not None for piece in told[PASSAGE_PIECES:]):
                st.caption(f"and {more} words more")
        tagging.line(tags)


def verdict(row: Row, sort: str) -> str:
    """Right or wrong as icon and word with the confidence, or the score; and the value that is sorted by."""
    if row.get("confidence") is None:
        text = f"score {row['score']:.3g}"
    elif row.get("correct") is None:
        text = f"{row['confidence']:.0%} sure"
    elif row["correct"]:
        text = f":green[:material/check_circle: right] {row['confidence']:.0%}"
    else:
        text = f":red[:material/cancel: wrong] {row['confidence']:.0%}"
    value = row.get(sort)
    if sort in ("sample_id", "confidence", "score") or not isinstance(value, int | float) or isinstance(value, bool):
        return text
    return f"{text} · {value:.3g}"


def names(row: Row, length: int = 20) -> str:
    """The class of a sample, or label and prediction where they differ, or its caption."""
    label, predicted = row.get("label"), row.get("predicted")
    if label is not None and predicted is not None and label != predicted:
        return f"{clip(str(label), length // 2)} → {clip(str(predicted), length // 2)}"
    name = predicted if predicted is not None else label if label is not None else row.get("text")
    return clip(str(name), length) if name else f"sample {row['sample_id']}"
