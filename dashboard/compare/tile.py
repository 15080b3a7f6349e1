"""One sample in both runs: overlays side by side, predictions, what moved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from dashboard.compare.opened import Opened
from dashboard.data import Row, Run
from dashboard.pictures import draw_picture
from dashboard.samples.tile import verdict
from dashboard.selection import Selection, clip, link, state_to_params
from dashboard.words import literal, shown, tinted
from storage.media.secrets import shown as without_keys

PIECES = 60  # words of a text
SHARES = {"mask_share": "object", "box_share": "object", "border_share": "border"}


def draw(
    row: Row, pictures: tuple[bytes, bytes] | None, texts: tuple[Any, Any] | None, opened: Opened, chosen: Selection
) -> None:
    """The sample: A at the left, B at the right."""
    with st.container(border=True, gap="xsmall"):
        st.text(named(row), wrap=False, width="stretch")
        sides = st.grid(2, min_column_width=110, gap="xsmall")
        for number, (side, run) in enumerate((("a", opened.a), ("b", opened.b))):
            with sides.cell(), st.container(gap="xxsmall"):
                here = there(chosen, run, row, side, opened)
                if pictures is not None:
                    said = f"Run {side.upper()}, sample {row[f'id_{side}']}, predicted {row[side].get('predicted')}"
                    draw_picture(pictures[number], link=link("sample", here), alt=clip(said, 200))
                if texts is not None and texts[number] is not None:
                    st.html(tinted(shown(row[side], texts[number])[:PIECES], chosen.look.colormap))
                _answer(row[side], side.upper(), here)
        st.caption(moved(row, opened.comparison.basis))


def named(row: Row) -> str:
    """Number and true class of the sample, or its file."""
    label = row["a"].get("label")
    return f"{row['id_a']} · {clip(without_keys(str(label if label is not None else row['a']['uri'])), 60)}"


def there(chosen: Selection, run: Run, row: Row, side: str, opened: Opened) -> Selection:
    """The sample in one of the runs, with the other one as the run to compare with."""
    other = opened.b if run is opened.a else opened.a
    target, modality = opened.comparison.target, opened.comparison.modality
    here = replace(chosen, run=run.id, other=other.id, target=target, modality=modality, sample=int(row[f"id_{side}"]))
    return here if run is opened.a else here.everything()


def _answer(row: Row, side: str, here: Selection) -> None:
    """The prediction as a link to the sample in this run, and whether it is right."""
    name = row.get("predicted") if row.get("predicted") is not None else f"sample {row['sample_id']}"
    st.page_link(
        "app_pages/sample.py",
        label=f"{side}: {literal(clip(str(name), 24))}",
        query_params=state_to_params(here),
        width="content",
    )
    st.caption(verdict(row, "sample_id"))


def moved(row: Row, basis: str | None) -> str:
    """How alike the maps are, and how much of the relevancy lies on the object or the border."""
    parts = []
    if row["similarity"] is not None:
        parts.append(f"alike {row['similarity']:.2f}{' (on the smaller grid)' if row['resampled'] else ''}")
    if basis in SHARES and None not in (before := row[f"{basis}_a"], after := row[f"{basis}_b"]):
        parts.append(f"on the {SHARES[basis]} {before:.0%} → {after:.0%}")
    elif row["shift"] is not None:
        parts.append(f"centre moved {row['shift']:.0%} of a side")
    return " · ".join(parts) or "the maps cannot be compared"
