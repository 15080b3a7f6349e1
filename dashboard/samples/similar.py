"""Samples that the model looked at alike."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboard import looks, tiles
from dashboard.data import Run
from dashboard.pictures import draw_picture
from dashboard.samples import opened
from dashboard.samples.tile import names
from dashboard.selection import Selection, link, state_to_params
from dashboard.words import literal
from storage import SampleQuery

SHOWN = 12


def draw(run: Run, chosen: Selection, sample_id: int) -> None:
    """The nearest samples by their relevancy-weighted features; nothing where a run has none."""
    if not run.has_features:
        return
    with opened.expander(chosen, "similar", "Similar samples", ":material/hub:"):
        if not opened.is_open(chosen, "similar"):
            return
        st.caption(
            "Nearest by the cosine of the relevancy-weighted features: what the model looked at is alike. "
            "1 is the same direction."
        )
        found = {
            row["sample_id"]: row["similarity"] for row in run.similar(sample_id, chosen.target, chosen.modality, SHOWN)
        }
        if not found:
            st.caption("This sample has no features for this target.")
            return
        name = run.reader.sets.keep(list(found))
        rows = run.page(SampleQuery(chosen.target, chosen.modality, sets=(name,)), 1, SHOWN)
        rows.sort(key=lambda row: -found[row["sample_id"]])
        theme = looks.theme()
        pictures = tiles.gallery(run, rows, chosen.look, theme) if run.has_pictures else [None] * len(rows)
        grid = st.grid(6, min_column_width=130, gap=("small", "small"), key="similar")
        for row, picture in zip(rows, pictures, strict=True):
            here = replace(chosen, sample=int(row["sample_id"]))
            with grid.cell(), st.container(horizontal_alignment="center", gap="xxsmall"):
                if picture is not None:
                    alt = f"Sample {row['sample_id']}, {names(row)}"
                    draw_picture(picture, link=link("sample", here), alt=alt)
                st.page_link(
                    "app_pages/sample.py",
                    label=literal(names(row)),
                    query_params=state_to_params(here),
                    width="content",
                )
                st.caption(f"similarity {found[row['sample_id']]:.3f}", text_alignment="center")
