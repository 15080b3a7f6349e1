"""The parts of the page Faithfulness, top to bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.charts import CONFIG
from dashboard.curves import curves
from dashboard.faithfulness import charts, results
from dashboard.faithfulness.results import Row, Tested
from dashboard.selection import clip
from dashboard.words import literal
from storage.faithfulness import HIGHER, LOWER, better

WAYS = {LOWER: "lower is better", HIGHER: "higher is better"}
BEST = ":material/star:"


def verdict(found: Sequence[Tested], own: str) -> None:
    """Where the run's own method is the best, and plainly where it is not."""
    told = results.headline(found, own)
    if not told:
        return
    st.markdown(f"**{literal(told)}**")
    lost = results.against(found, own)
    if lost:
        with st.expander("Where another method is better", icon=":material/compare_arrows:", expanded=len(lost) <= 6):
            st.markdown("\n".join(f"- {literal(line)}" for line in lost))


def drawn(found: Sequence[Tested], methods: Sequence[str], own: str) -> None:
    """A chart per test with curves."""
    shown = [one for one in found if one.drawn]
    if not shown:
        return
    st.subheader("Curves", help="Bands are 95 % intervals over the samples.")
    grid = st.grid(2 if len(shown) > 1 else 1, min_column_width=340, gap="medium")
    for number, one in enumerate(shown):
        with grid.cell():
            st.markdown(f"**{literal(clip(one.test, 60))}**, {literal(clip(one.context, 60))}")
            st.caption(_meaning(one.test))
            st.plotly_chart(
                curves([row for row in one.rows if row["curve"]["steps"]], methods, own, **_axis(one.test)),
                config=CONFIG,
                key=f"curves_{number}",
                alt=clip(f"Curves of test {one.test}, {one.place}: {_spoken(one)}", 900),
            )


def _axis(test: str) -> dict[str, str]:
    return {"x_title": "share of the input that was put in"} if test.startswith("insertion") else {}


def _meaning(test: str) -> str:
    if test.startswith("insertion"):
        return "Most relevant put in first: a faithful map makes the curve rise fast"
    if "negative" in test.split():
        return "Least relevant taken away first: a faithful map keeps the curve high"
    if better(test) == LOWER:
        return "Most relevant taken away first: a faithful map makes the curve fall fast"
    return "A line per method"


def _spoken(one: Tested) -> str:
    return "; ".join(f"{row['method']} {results.shown(row, one.rows)}" for row in one.rows)


def numbers(found: Sequence[Tested], methods: Sequence[str], own: str) -> None:
    """A table per protocol and modality: a row per method, a column per test, the best marked."""
    st.subheader("Numbers")
    st.caption(
        f"Areas under the curves, or what the test measures, with the 95 % interval over the samples. {BEST} best of "
        "its column."
    )
    for place, some in results.tables(found).items():
        st.markdown(f"**{literal(clip(place, 80))}**")
        st.table(
            [_line(name, some, own) for name in methods if any(_row(one, name) for one in some)],
            border="horizontal",
            hide_index=True,
            alt=f"Results per method, {place}",
        )


def _line(method: str, some: Sequence[Tested], own: str) -> dict[str, str]:
    """The cells of a method, with Markdown."""
    name = literal(clip(method, 40))
    line = {"Method": f"**{name}** (this run)" if method == own else name}
    for one in some:
        row, way = _row(one, method), better(one.test)
        cell = "" if row is None else results.shown(row, one.rows)
        best = one.best is not None and row is not None and row["auc"] == one.best["auc"]
        line[_header(one, way)] = f"{BEST} **{cell}**" if best else cell
    line["Samples"] = " to ".join(
        f"{n:,}" for n in sorted({row["n"] for one in some for row in one.rows if row["method"] == method})
    )
    return line


def _header(one: Tested, way: str | None) -> str:
    return f"{literal(clip(one.name, 60))}" + (f", {WAYS[way]}" if way else "")


def _row(one: Tested, method: str) -> Row | None:
    return next((row for row in one.rows if row["method"] == method), None)


def left_out(rows: Sequence[Row]) -> None:
    """What could not be tested, by reason."""
    lines = results.left_out(rows)
    if not lines:
        return
    st.subheader("Left out")
    st.caption("Samples that a test could not use. They are in none of its numbers.")
    st.dataframe(
        [{**line, "reason": clip(line["reason"], 200)} for line in lines],
        hide_index=True,
        height="content" if len(lines) <= 10 else 380,
        alt="Samples that were left out, by reason",
        column_order=["reason", "samples", "methods", "tests"],
        column_config={
            "reason": st.column_config.TextColumn("Reason", width="medium"),
            "samples": st.column_config.NumberColumn("Samples", format="localized", width="small"),
            "methods": st.column_config.TextColumn("Methods", width="medium"),
            "tests": st.column_config.TextColumn("Tests", width="large"),
        },
    )


def sanity(rows: Sequence[Row], methods: Sequence[str], own: str) -> None:
    """Cascades of random weights, and how alike the maps of methods are."""
    found, pairs = results.cascades(rows), results.alike(rows)
    if found:
        st.subheader("Do the maps react to the model?")
        st.caption(
            "The weights are made random, the head first, then block after block. Maps that tell what the model has "
            "learned must change: the rank correlation with the first maps should fall towards 0."
        )
        with st.grid(2 if len(found) > 1 else 1, min_column_width=340, gap="medium"):
            for modality, some in found.items():
                _cascade(modality, some, methods, own)
    if pairs:
        st.subheader("How alike are the maps of the methods?")
        st.caption("Mean rank correlation of the maps of two methods: 1 is the same order, 0 is unrelated.")
        with st.grid(2 if len(pairs) > 1 else 1, min_column_width=340, gap="medium"):
            for modality, together in pairs.items():
                _alike(modality, together, methods)


def _cascade(modality: str, rows: Sequence[Row], methods: Sequence[str], own: str) -> None:
    with st.container():
        st.markdown(f"**{literal(modality)}**")
        still = list(results.unreactive(rows))
        if still:
            st.warning(literal(results.warning(still)), icon=":material/report:")
        ends = "; ".join(f"{row['method']} {results.shown(row, [row])}" for row in rows)
        st.plotly_chart(
            charts.cascade(rows, methods, own),
            config=CONFIG,
            key=f"cascade_{modality}",
            alt=clip(f"Rank correlation while weights are made random, {modality}; in the end {ends}", 900),
        )
        react = "" if still else "All of these maps react. "
        st.caption(f"{react}Dotted: the limit. Maps whose whole interval ends above it do not react.")


def _alike(modality: str, pairs: Mapping[tuple[str, str], Row], methods: Sequence[str]) -> None:
    with st.container():
        st.markdown(f"**{literal(modality)}**")
        told = [f"{a} and {b} {row['auc']:.2f}" for (a, b), row in pairs.items() if row["method"] == a]
        st.plotly_chart(
            charts.alike(pairs, methods),
            config=CONFIG,
            key=f"alike_{modality}",
            alt=clip(f"Mean rank correlation of maps, {modality}: {', '.join(told)}", 900),
        )


def made_how(about: Mapping[str, Any]) -> None:
    """How the results were made, as the store says; settings of a protocol on a line of their own."""
    if not about:
        return
    with st.expander("How this was measured", icon=":material/info:"):
        for name, value in about.items():
            settings = value if isinstance(value, Mapping) else None
            told = ", ".join(f"{k} {v}" for k, v in settings.items() if v is not None) if settings else str(value)
            st.text(clip(f"{name}: {told}", 400))
