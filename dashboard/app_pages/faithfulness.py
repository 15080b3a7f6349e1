"""Faithfulness: how well the maps tell what the model used, by tests that change the input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard import charts, frame
from dashboard.curves import curves
from dashboard.data import Row, Run
from dashboard.selection import clip
from dashboard.words import literal
from storage import StoreError, about_faithfulness, read_faithfulness

# The one place that says where evaluation results come from. When the command exists, it reads:
# "Evaluation results are made by `python -m jobs evaluate RUN`."
NOT_EVALUATED = (
    "This run has no evaluation results. They will be made by `python -m jobs evaluate RUN`, a command that is not "
    "part of this version."
)
TESTS = {
    "positive": "Most relevant first: a faithful map makes the curve fall fast",
    "negative": "Least relevant first: a faithful map keeps the curve high",
}
CHECKS = {
    "drop_mean": "Most relevant 20 % of the patches painted over",
    "drop_blur": "Most relevant 20 % of the patches blurred",
    "drop_word": "Most relevant word taken out",
}


def evaluated(rows: Sequence[Row]) -> None:
    """Curves per test and modality, and the areas under them."""
    together: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        together.setdefault((row["modality"], row["test"]), []).append(row)
    drawn = {key: some for key, some in together.items() if any(row["curve"]["steps"] for row in some)}
    if drawn:
        grid = st.grid(2 if len(drawn) > 1 else 1, min_column_width=340, gap="medium")
        for number, ((modality, test), some) in enumerate(drawn.items()):
            with grid.cell():
                st.text(f"{clip(test, 60)}, {modality}")
                st.caption(TESTS.get(test.removeprefix("perturbation ").split(" ")[0], "A line per method"))
                st.plotly_chart(
                    curves([row for row in some if row["curve"]["steps"]]),
                    config=charts.CONFIG,
                    key=f"curves_{number}",
                    alt=clip(f"Curves of test {test}, {modality}: {areas(some)}", 900),
                )
    st.subheader("Areas under the curves")
    table(together)


def areas(rows: Sequence[Row]) -> str:
    """`gae 0.412, random 0.533`."""
    return ", ".join(f"{row['method']} {row['auc']:.3f}" for row in rows if row["auc"] is not None)


def table(together: dict[tuple[str, str], list[Row]]) -> None:
    """A row per method, a column per test and modality, and how many samples were tested."""
    names = [f"{test}, {modality}" for modality, test in together]
    by_method: dict[str, dict[str, Any]] = {}
    for (modality, test), rows in together.items():
        for row in rows:
            line = by_method.setdefault(row["method"], {"method": row["method"], "n": 0})
            line[f"{test}, {modality}"] = row["auc"]
            line["n"] = max(line["n"], row["n"])
    config: dict[str, Any] = {"method": st.column_config.TextColumn("Method", pinned=True)}
    config |= {name: st.column_config.NumberColumn(clip(name, 60), format="%.4f") for name in names}
    st.dataframe(
        list(by_method.values()),
        hide_index=True,
        height="content" if len(by_method) <= 12 else 460,
        alt="Area under the curve per method and test",
        column_order=["method", *names, "n"],
        column_config=config | {"n": st.column_config.NumberColumn("Samples", format="localized")},
    )
    st.caption("Areas of tests with a curve; the measured number itself where a test has none.")


def made_how(about: Row) -> None:
    """How the results were made, as the store says."""
    if about:
        with st.expander("How this was measured", icon=":material/info:"):
            for name, value in about.items():
                st.text(clip(f"{name}: {value}", 400))


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
        rows, about = read_faithfulness(run.reader.run), about_faithfulness(run.reader.run)
    except StoreError as problem:
        st.error(literal(f"{problem}."), icon=":material/error:")
        rows, about = [], {}
    if rows:
        evaluated(rows)
        made_how(about)
    else:
        st.info(NOT_EVALUATED, icon=":material/verified:")
    found = run.deletion_checks()
    if found:
        checks(run, found)
    elif run.has_pairs:
        st.caption("A run of pairs that is made with `--evidence` also has deletion checks, which are shown here.")


page()
