"""One suspect of the list: pictures beside the evidence in words, links, and the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st

from dashboard.data import Row, Run
from dashboard.pictures import draw_picture
from dashboard.selection import Selection, clip, link, state_to_params
from dashboard.suspects import kinds, verdicts
from dashboard.words import literal, shown, tinted
from storage import wording

FOCUSED = "suspect_in_focus"  # key of the card that the keyboard is about, and so its CSS class
TITLE, LINE, CAPTION, PASSAGE_PIECES = 160, 260, 90, 60  # characters; pieces of a text
TEXTS = 3  # passages of a suspect whose samples have no pictures


@dataclass(frozen=True)
class Pictured:
    """What there is to see of a suspect: rows of its strongest samples, a tile of each, and its mean map."""

    rows: Sequence[Row] = ()
    tiles: Sequence[bytes] = ()
    mean: bytes | None = None
    maps: Any = field(default_factory=dict)  # relevancy of words by (sample_id, target), where there are no pictures


def card(
    run: Run,
    row: Row,
    chosen: Selection,
    seen: Pictured,
    *,
    to_focus: Callable[[str], None] | None,
    place: int,
    also: Sequence[str],
) -> None:
    """Draw a suspect.

    Args:
        to_focus: brings a suspect into focus; None for the one that is in focus already.
        place: its position on the page.
        also: the fragments that count verdicts.
    """
    here, focused = replace(chosen, suspect=row["id"]), to_focus is None
    with st.container(border=True, key=FOCUSED if focused else f"suspect_card_{place}", gap="small"):
        _heading(row, here, to_focus)
        both = st.grid(2, min_column_width=360, gap=("small", "medium"), key=f"suspect_body_{place}")
        with both.cell():
            _pictures(row, here, seen, place) if seen.tiles else _passages(seen, here)
        with both.cell():
            _evidence(row)
        verdicts.verdict_buttons(run, row, keys=focused, also=also)


def _heading(row: Row, here: Selection, to_focus: Callable[[str], None] | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if to_focus is None:
            st.badge("in focus", icon=":material/keyboard:", color="primary")
        st.markdown(f"**{row['rank']}. {literal(clip(wording.title(row), TITLE))}**", width="content")
        kinds.badges(row)
        _links(row, here)
        if to_focus is not None:
            st.button(
                "Focus",
                icon=":material/keyboard:",
                key=f"focus_on_{row['id']}",
                type="tertiary",
                help="Let the keyboard be about this suspect, and show a field for a note",
                on_click=to_focus,
                args=(row["id"],),
            )


def _links(row: Row, here: Selection) -> None:
    members = replace(here.everything(), members=row["id"])
    st.page_link(
        "app_pages/evidence.py",
        label="Evidence",
        icon=":material/fact_check:",
        query_params=state_to_params(here),
    )
    st.page_link(
        "app_pages/samples.py",
        label="Samples",
        icon=":material/grid_view:",
        query_params=state_to_params(members),
    )


def _evidence(row: Row) -> None:
    """The strongest sentence, then everything else that is known."""
    head = wording.headline(row)
    lines = [wording.count_line(row)]
    for line in wording.evidence_lines(row):
        more = line.removeprefix(head).strip(" ()")  # of the headline at more length only what it adds
        lines.append(line if not line.startswith(head) else f"in that test {more}" if more else "")
    lines = [line for line in lines if line and line != head]
    st.markdown(f"**{literal(clip(wording.sentence(head), LINE))}**")
    st.caption("\n".join(f"- {literal(clip(wording.sentence(line), LINE))}" for line in lines))


def _pictures(row: Row, here: Selection, seen: Pictured, place: int) -> None:
    """The strongest samples, each a link to its page, and the mean map."""
    strip = st.grid(4, min_column_width=84, gap=("xsmall", "xsmall"), key=f"suspect_pictures_{place}")
    boxes = row["cue"].get("boxes") or {}
    for sample, picture in zip(seen.rows, seen.tiles, strict=True):
        number = int(sample["sample_id"])
        boxed = ", the cue in a box" if str(number) in boxes else ""
        with strip.cell(), st.container(gap="xxsmall"):
            at = link("sample", replace(here, members=row["id"], sample=number))
            draw_picture(picture, link=at, alt=f"Sample {number} of suspect {row['rank']}{boxed}")
            if sample.get("text") and (wording.of_pairs(row) or row["kind"] == "word"):
                st.caption(literal(clip(str(sample["text"]), CAPTION)))
    if seen.mean is not None:
        with strip.cell(), st.container(gap="xxsmall"):
            draw_picture(seen.mean, alt=f"Mean relevancy map of the samples of suspect {row['rank']}")
            st.caption("mean map")


def _passages(seen: Pictured, here: Selection) -> None:
    """The strongest texts, their words tinted."""
    if not seen.rows:
        st.caption("None of its samples can be shown.")
    for sample in seen.rows[:TEXTS]:
        relevancy = seen.maps.get((sample["sample_id"], sample["target"]))
        if relevancy is None or not sample.get("tokens"):
            st.text(clip(str(sample.get("text") or f"sample {sample['sample_id']}"), LINE))
        else:
            st.html(tinted(shown(sample, relevancy)[:PASSAGE_PIECES], here.look.colormap))
