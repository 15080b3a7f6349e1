"""Compare: this run (A) with another one (B) of the same data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import charts, data, frame, looks, resume, state, tiles
from dashboard.compare import charts as compared
from dashboard.compare import opened as opening
from dashboard.compare import tile
from dashboard.compare.opened import Candidate, Opened
from dashboard.data import Row, Run
from dashboard.samples import chips, pager
from dashboard.selection import Selection, clip
from dashboard.words import literal
from storage import RunRecord, StoreError, queries
from storage.compare import LISTS, differences, list_sentence, summary_sentences

LIST_NAMES = {
    "moved": "Moved most",
    "changed": "Prediction changed",
    "wrong": "Became wrong",
    "right": "Became right",
    "left": "Left the object",
    "came": "Came to the object",
}
BORDER_NAMES = {"left": "Went to the border", "came": "Came from the border"}
MAP_NAMES = {"left": "Other map, same answer"}
COUNTS = {
    "moved": "n_common",
    "changed": "changed",
    "wrong": "became_wrong",
    "right": "became_right",
    "left": "left_object",
    "came": "came_to_object",
}
THRESHOLD = 20  # percent
SHARES = {"mask_share": "on the object (mask)", "box_share": "on the object (boxes)", "border_share": "on the border"}
SETTINGS = 8  # rows of the table that are shown without scrolling


def alone(run: Run) -> None:
    """One run only: how to make a second one."""
    st.info(
        "The store has no other run to compare this one with. Make one of the same data with another model, "
        "checkpoint, method or start layer, then reload this page:",
        icon=":material/difference:",
    )
    other = "rollout" if run.record.spec.get("method") != "rollout" else "gae"
    command = resume.command(other_method(run, other), run.store)
    st.code(command, language="bash", wrap_lines=True)
    st.caption(
        "Instead of `--method`: `--model` or `--checkpoint` for another model, `--start-layer` for other layers. "
        "`python -m jobs compare RUN_A RUN_B` gives the same in the terminal."
    )


def other_method(run: Run, method: str) -> RunRecord:
    """The record of this run as if it had been made with another method, under another name."""
    return replace(run.record, run_id=f"{run.id}-{method}", spec={**run.record.spec, "method": method})


def choose(run: Run, known: list[Candidate]) -> str:
    """The other run, and buttons to swap both. Returns its name, empty when none is chosen."""
    chosen = state.current()
    names = {one.name: one for one in known}
    other = chosen.other if chosen.other in names else next((one.name for one in known if one.same), "")
    if other != chosen.other:
        state.change(other=other)
        state.write_url()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Compare with (run B)",
            ["", *names],
            format_func=lambda name: described(names.get(name)),
            width=520,
            **state.control("other", other, lambda v: state.change(other=v, page=1)),
        )
        st.button(
            "Swap A and B",
            icon=":material/swap_horiz:",
            key="swap",
            disabled=not other,
            on_click=lambda: state.put(replace(state.current(), run=other, other=run.id, page=1, sample=None)),
        )
    return other


def described(one: Candidate | None) -> str:
    """A run in the list of those to compare with."""
    if one is None:
        return "Choose a run"
    return f"{one.name}{'' if one.same else ' (another dataset)'}"


def restriction(run: Run, chosen: Selection) -> NDArray[np.int64] | None:
    """The samples of A that pass everything that narrows them, with chips to take it away."""
    if not chosen.narrowed:
        return None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Only samples of A with", width="content")
        chips.draw(run, run.columns(), chosen)
    query = replace(frame.query(chosen), sort="sample_id", descending=False)
    return np.asarray(queries.ids(run.reader, query), dtype=np.int64)


def numbers(summary: Row) -> None:
    """The findings as figures and in words."""
    labelled = bool(summary["labelled"])
    with st.grid(6 if labelled else 4, min_column_width=120, gap="xsmall"):
        st.metric("In both runs", f"{summary['n_common']:,}", border=True, height="stretch")
        st.metric("Predictions changed", f"{summary['changed']:,}", border=True, height="stretch")
        if labelled:
            st.metric("Accuracy of A", f"{summary['accuracy_a']:.1%}", border=True, height="stretch")
            points = 100 * (summary["accuracy_b"] - summary["accuracy_a"])
            st.metric(
                "Accuracy of B", f"{summary['accuracy_b']:.1%}", f"{points:+.1f} points", border=True, height="stretch"
            )
        alike = summary["median_similarity"]
        st.metric("Median similarity", "–" if alike is None else f"{alike:.2f}", border=True, height="stretch")
        off = summary["left_object"]
        st.metric(
            list_names(summary["basis"])["left"], "–" if off is None else f"{off:,}", border=True, height="stretch"
        )
    st.markdown("\n".join(f"- {literal(sentence)}" for sentence in summary_sentences(summary)))
    for note in summary["notes"]:
        st.caption(literal(note))


def list_names(basis: str | None) -> dict[str, str]:
    """What the lists are called, by what stands for the object."""
    names = BORDER_NAMES if basis == "border_share" else MAP_NAMES if basis == "similarity" else {}
    return LIST_NAMES | names


def settings(a: Run, b: Run) -> None:
    """What differs between the runs."""
    rows = differences(a.record, b.record)
    if not rows:
        st.caption("Both runs have the same settings.")
        return
    st.markdown(f"**What differs between the runs** ({len(rows)})")
    text = st.column_config.TextColumn
    st.dataframe(
        [{name: clip(value, 300) for name, value in row.items()} for row in rows],
        hide_index=True,
        height="content" if len(rows) <= SETTINGS else 320,
        alt="Settings, properties and versions that differ between run A and run B",
        column_config={
            "setting": text("Setting", width="medium"),
            "a": text("A (this run)", width="medium"),
            "b": text("B", width="medium"),
        },
    )


def pictured(opened: Opened, basis: str | None) -> None:
    """How alike the maps are, and the shares of both runs against each other."""
    column = "similarity" if opened.comparison.facts["comparable"] else "moved"
    bins = opened.histogram(column, 40)
    title = "cosine similarity of the maps (1: the same)" if column == "similarity" else "largest change of a summary"
    grid = st.grid(2, min_column_width=320, gap="medium")
    with grid.cell():
        st.markdown("**How alike the maps are**" if column == "similarity" else "**How far the relevancy moved**")
        said = ", ".join(f"{b['low']:.2f} to {b['high']:.2f}: {b['n']}" for b in bins if b["n"])
        st.plotly_chart(
            charts.histogram(bins, title, height=compared.HEIGHT),
            config=charts.CONFIG,
            key="similarity",
            alt=clip(f"Histogram, {title}. {said}", 900),
        )
    with grid.cell():
        share = basis if basis in SHARES else "entropy"
        name = SHARES.get(share, "spread (entropy)")
        st.markdown(
            f"**Relevancy {name}: A against B**" if share in SHARES else "**Spread of the relevancy: A against B**"
        )
        counts = opened.plane(share, 20)
        below = int(np.tril(counts.T, -1).sum())
        st.plotly_chart(
            compared.plane(counts, name),
            config=charts.CONFIG,
            key="plane",
            alt=f"Density of {name} in A against B: {int(counts.sum())} samples, {below} clearly less or more in B",
        )
    st.caption(
        f"Right: on the dotted line both runs are alike; below it B has less of the relevancy {name}."
        if share in SHARES
        else "Right: below the dotted line the relevancy of B is more concentrated."
    )


def lists(summary: Row, chosen: Selection) -> tuple[str, int]:
    """Which list, and from which change relevancy counts as moved off the object. Returns the list and its length."""
    names, name = list_names(summary["basis"]), list_of(chosen)
    told = {key: summary[COUNTS[key]] for key in LISTS}
    shown = [key for key in LISTS if told[key] is not None and (summary["labelled"] or key not in ("wrong", "right"))]
    name = name if name in shown else "moved"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.pills(
            "List",
            shown,
            required=True,
            format_func=lambda key: f"{names[key]} ({told[key]:,})",
            **state.control("compare_list", name, lambda v: state.put(state.current().with_only("list", [v]))),
        )
        looks.controls()
    if name in ("left", "came"):
        st.slider(
            "By at least",
            5,
            90,
            step=5,
            format="%d%%",
            width=240,
            help="How much of the relevancy must have moved for a sample to be in the list.",
            **state.control(
                "compare_drop", threshold_of(chosen), lambda v: state.put(state.current().with_only("drop", [str(v)]))
            ),
        )
    st.caption(f"{literal(list_sentence(name, summary))}.")
    return name, told[name]


def list_of(chosen: Selection) -> str:
    """The list that the link names."""
    return next((name for name in chosen.chosen("list") if name in LISTS), "moved")


def threshold_of(chosen: Selection) -> int:
    """The threshold that the link names, in percent."""
    values = [value for value in chosen.chosen("drop") if value.isdecimal() and value in map(str, range(5, 95, 5))]
    return int(values[-1]) if values else THRESHOLD


def gallery(opened: Opened, name: str, chosen: Selection, threshold: float) -> None:
    """One page of samples, each in both runs."""
    rows = opened.page(name, chosen.page, chosen.size, threshold)
    target, modality = opened.comparison.target, opened.comparison.modality
    pictures = None
    if opened.a.has_pictures and opened.b.has_pictures:
        looks.legend([row["a"] for row in rows])
        theme = looks.theme()
        of_a = tiles.gallery(opened.a, [row["a"] for row in rows], chosen.look, theme)
        of_b = tiles.gallery(opened.b, [row["b"] for row in rows], chosen.look, theme)
        pictures = list(zip(of_a, of_b, strict=True))
    texts = None
    if modality == "text":
        of = [
            run.maps([(row[f"id_{s}"], target) for row in rows], "text")
            for run, s in ((opened.a, "a"), (opened.b, "b"))
        ]
        texts = [(of[0].get((row["id_a"], target)), of[1].get((row["id_b"], target))) for row in rows]
    grid = st.grid(3, min_column_width=290, gap="small", key="compare_gallery")
    for number, row in enumerate(rows):
        with grid.cell():
            tile.draw(row, pictures[number] if pictures else None, texts[number] if texts else None, opened, chosen)


def body(run: Run, other: str) -> None:
    """Everything below the choice of the runs."""
    second = Run.open(run.store, other)
    chosen = state.current()
    asked = opening.target_of(run, second, chosen.target, chosen.modality)
    if asked is None:
        st.info("The runs have no explained target in common.", icon=":material/link_off:")
        settings(run, second)
        return
    if asked != (chosen.target, chosen.modality):
        st.caption(
            f"Run B has no explanations of {literal(frame.target_name(chosen.target))} ({chosen.modality}); compared "
            f"is {literal(frame.target_name(asked[0]))} ({asked[1]})."
        )
    ids = restriction(run, chosen) if asked == (chosen.target, chosen.modality) else None
    try:
        opened = opening.comparison(run, second, *asked, ids)
    except StoreError as problem:
        st.info(literal(f"{problem}."), icon=":material/link_off:")
        settings(run, second)
        return
    threshold = threshold_of(chosen) / 100
    summary = opened.summary(threshold)
    if not summary["n_common"]:
        st.info("No sample that passes the filters is in both runs.", icon=":material/filter_alt_off:")
        return
    numbers(summary)
    settings(run, second)
    pictured(opened, summary["basis"])
    st.subheader("Samples, side by side")
    name, n = lists(summary, chosen)
    if not n:
        st.info("This list is empty.", icon=":material/check:")
        return
    if chosen.page > (pages := -(-n // chosen.size)):
        state.change(page=pages)
        state.write_url()
        chosen = state.current()
    pager.draw(chosen, n, "top")
    gallery(opened, name, chosen, threshold)
    pager.draw(chosen, n, "bottom")


def page() -> None:
    """The whole page."""
    run = frame.run()
    st.title("Compare")
    if not run.progress().explained:
        frame.no_samples(run)
        return
    known = opening.candidates(run, data.runs(run.store))
    if not known:
        alone(run)
        return
    st.caption(f"Run A is the run of the sidebar: {literal(run.id)}")
    other = choose(run, known)
    if other:
        body(run, other)
    else:
        st.info(
            "No other run is of the very same dataset. Choose any: samples are then matched by their file.",
            icon=":material/difference:",
        )


page()
