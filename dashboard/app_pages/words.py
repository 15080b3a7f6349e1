"""Words: which words carry predictions, per class or answer, and the samples that have them."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboard import frame, state
from dashboard.samples import chips
from dashboard.wordlist import data, panels


def page() -> None:
    """The whole page."""
    run = frame.run()
    st.title("Words")
    if not run.progress().explained:
        frame.no_samples(run)
        return
    target = data.text_target(run, state.current().target)
    if target is None:
        st.info(
            "This run explains pictures only. Runs of text classifiers, of question answering and of image-text pairs "
            "have words.",
            icon=":material/match_word:",
        )
        return
    chosen = replace(state.current(), target=target)
    with st.container(horizontal=True, vertical_alignment="center"):
        chips.draw(run, run.columns(), chosen)
    query = replace(frame.query(chosen), modality="text", sort="sample_id", descending=False)
    table = data.table(run, query)
    if not table.words:
        st.info(
            "No words are stored for these samples: the run was made before words were kept, or no text has any. "
            "Explaining the dataset again stores them.",
            icon=":material/match_word:",
        )
        return
    panels.how(table)
    panels.choices(table, chosen)
    panels.words(table, chosen)
    if chosen.word:
        panels.samples(run, query, table, chosen)
    elif not table.groups:
        st.caption("Nothing is predicted here that words could go with; the most frequent words come first.")


page()
