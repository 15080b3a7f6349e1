"""Evidence: one suspect, and everything that speaks for and against it."""

from __future__ import annotations

import streamlit as st

from dashboard import frame, looks, narrow, state
from dashboard.evidence import elsewhere, head, intervention, lasso, meanmap, members, strip
from dashboard.evidence.subject import Subject


def page() -> None:
    """The whole page."""
    run, rows = frame.run(), frame.run().suspects().rows
    chosen = state.current()
    if not rows:
        head.none_yet(run)
        return
    if chosen.suspect and narrow.suspect(run, chosen.suspect) is None:
        head.unknown(chosen.suspect)
        return
    if not chosen.suspect:
        state.change(suspect=str(rows[0]["id"]))
        state.write_url()
    row = narrow.suspect(run, state.current().suspect) or rows[0]
    subject = Subject.of(run, row)
    head.steps(rows, subject.id)
    head.draw(subject)
    subject.rows(
        [*strip.ids(subject), *intervention.sample_ids(subject), *elsewhere.ids(subject), *members.ids(subject)]
    )
    with st.container(horizontal=True, vertical_alignment="top"):
        looks.controls() if run.has_pictures else looks.colors()
    looks.legend(subject.rows(strip.ids(subject)))
    strip.draw(subject)
    meanmap.draw(subject)
    intervention.draw(subject)
    elsewhere.draw(subject)
    lasso.draw(subject)
    members.draw(subject)


page()
