"""CLIP scores: how the scores of image-text pairs lie, what carries them, and one pair in detail."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboard import frame, state
from dashboard.data import Run
from dashboard.samples import chips
from dashboard.scores import data, detail, panels
from dashboard.selection import Selection
from storage import SampleQuery


def one_pair(run: Run, query: SampleQuery, chosen: Selection) -> None:
    """The chosen pair: maps beside the deletion check, then another caption."""
    found = detail.chosen_pair(run, query, chosen)
    if found is None:
        return
    detail.heading(run, query, chosen, found)
    grid = st.grid(2, min_column_width=330, gap="medium", key="one_pair")  # one below the other where it is narrow
    with grid.cell():
        detail.stored(run, chosen, found)
    with grid.cell():
        st.markdown("**Does deletion agree with the maps?**")
        detail.deletion(found)
        with st.expander("All pairs", expanded=False):
            panels.deletion(run, query)
    detail.another(run, chosen, found, query.target)


def page() -> None:
    """The whole page."""
    run = frame.run()
    st.title("CLIP scores")
    if not run.progress().explained:
        frame.no_samples(run)
        return
    target = data.score_target(run, state.current().target)
    if target is None:
        st.info(
            "This run has no image-text pairs. Make one with `python -m jobs run --data pairs.csv "
            "--model open_clip:NAME/TAG --target clip-score --evidence --words 3`; the manifest needs the columns "
            "`image,text`.",
            icon=":material/compare:",
        )
        return
    chosen = replace(state.current(), target=target, modality="image")
    if target != state.current().target:
        st.caption(f"Shown is the score of whole captions ({target}); single words come below.")
    with st.container(horizontal=True, vertical_alignment="center"):
        chips.draw(run, run.columns(), chosen)
    query = frame.query(chosen)
    numbers = data.ask(run, "score_numbers", query)
    if not numbers["n"]:
        st.info("No pair matches. Remove a filter, or clear them all.", icon=":material/filter_alt_off:")
        return
    panels.distribution(run, query, chosen, numbers)
    panels.ends(run, query, chosen)
    one_pair(run, query, chosen)
    panels.carriers(run, query, chosen)


page()
