"""Faithfulness: how well the maps tell what the model used, by tests that change the input."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import frame
from dashboard.data import Row, Run
from dashboard.faithfulness import results, sections
from dashboard.words import literal
from storage import StoreError, about_faithfulness

NOT_EVALUATED = "This run has no evaluation results. Evaluation results are made by `python -m jobs evaluate RUN`."
CHECKS = {
    "drop_mean": "Most relevant 20 % of the patches painted over",
    "drop_blur": "Most relevant 20 % of the patches blurred",
    "drop_word": "Most relevant word taken out",
}


def evaluated(run: Run, rows: Sequence[Row]) -> None:
    """Everything that the evaluation told, the verdict first."""
    own = run.method
    found, methods = results.tests(rows), results.methods(rows, own)
    still = list(results.unreactive(rows, own))
    if still:
        st.error(literal(results.warning(still)), icon=":material/report:")
    sections.verdict(found, own)
    sections.drawn(found, methods, own)
    if found:
        sections.numbers(found, methods, own)
    sections.left_out(rows)
    sections.sanity(rows, methods, own)


def checks(run: Run, rows: Sequence[Row]) -> None:
    """The deletion checks that the job made with --evidence, beside random."""
    st.subheader("Deletion checks of this run")
    st.caption(
        "How far the score fell for every pair when what the map calls most relevant was removed, beside as much "
        "chosen at random: medians over the pairs."
    )
    targets = {row["target"] for row in rows}
    number = st.column_config.NumberColumn
    st.dataframe(
        [{**row, "what": CHECKS[row["check"]], "stronger": 100 * row["stronger"]} for row in rows],
        hide_index=True,
        height="content",
        alt="Median fall of the score by what was removed, and at random",
        column_order=["what", *(["target"] if len(targets) > 1 else []), "median", "median_random", "stronger", "n"],
        column_config={
            "what": st.column_config.TextColumn("What was removed", width="large"),
            "target": st.column_config.TextColumn("Target"),
            "median": number("Fall of the score", format="%.4f"),
            "median_random": number("At random", format="%.4f"),
            "stronger": number("Further than at random", format="%.0f%%", help="Share of the pairs"),
            "n": number("Pairs", format="localized"),
        },
    )
    st.text(in_words(rows))


def in_words(rows: Sequence[Row]) -> str:
    """The strongest finding in a sentence."""
    best = max(rows, key=lambda row: row["stronger"])
    return (
        f"{CHECKS[best['check']]}: the score falls further than at random for {best['stronger']:.0%} of "
        f"{best['n']:,} pairs."
    )


def page() -> None:
    """The whole page."""
    run = frame.run()
    st.title("Faithfulness")
    st.caption(
        "Whether the maps tell what the model really used: change what they call relevant, and see what happens."
    )
    if not run.progress().explained:
        frame.no_samples(run)
        return
    try:
        rows = run.faithfulness()
        about = about_faithfulness(run.reader.run)
    except StoreError as problem:
        st.error(literal(f"{problem}."), icon=":material/error:")
        rows, about = [], {}
    if rows:
        evaluated(run, rows)
        sections.made_how(about)
    else:
        st.info(NOT_EVALUATED, icon=":material/verified:")
    found = run.deletion_checks()
    if found:
        checks(run, found)
    elif run.has_pairs:
        st.caption("A run of pairs that is made with `--evidence` also has deletion checks, which are shown here.")


page()
