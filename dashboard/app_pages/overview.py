"""Overview: how much of the dataset was explained, how good the model is, where the scores lie."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

import streamlit as st

from dashboard import bars, charts, data, frame, listing, state
from dashboard.data import Row, Run
from dashboard.samples import chips, clicks, saved
from dashboard.selection import Selection, clip, state_to_params
from dashboard.words import literal
from storage import ColumnInfo, Filter, Progress, SampleQuery

PERCENT = {  # columns of the table of classes that are shares: title and meaning
    "accuracy": ("Accuracy", "Right predictions among the samples with this label."),
    "mean_confidence": ("Confidence", "Mean probability of the predicted class."),
    "mask_share": ("On object", "Mean share of the relevancy inside the object mask."),
    "box_share": ("In boxes", "Mean share of the relevancy inside the object boxes."),
    "border_share": ("On border", "Mean share of the relevancy on the outer ring of tokens."),
    "entropy": ("Entropy", "Mean spread of the relevancy: 0 % is all on one token, 100 % is even."),
}
MOST_HISTOGRAMS = 4
HISTOGRAMS = {  # the first of them that have values
    "score": "Explained score",
    "confidence": "Confidence",
    "entropy": "Entropy of the relevancy (0: one token, 1: even)",
    "mask_share": "Share of the relevancy on the object",
    "border_share": "Share of the relevancy on the border",
    "top10_mass": "Share of the relevancy on the top tenth of the tokens",
}


def headline(progress: Progress, classes: list[Row], narrowed: bool) -> None:
    """Numbers of the whole run; the accuracy is that of the samples that are shown."""
    total = int(progress.samples or progress.explained + progress.failed)
    judged = [row for row in classes if row["accuracy"] is not None]
    right, n = sum(int(row["correct"]) for row in judged), sum(int(row["n"]) for row in judged)
    with st.grid(4, min_column_width=100, gap="xsmall"):
        st.metric("In the dataset", f"{total:,}", border=True)
        st.metric("Explained", f"{progress.explained:,}", border=True)
        st.metric("Failed", f"{progress.failed:,}", border=True)
        st.metric(
            "Accuracy",
            f"{right / n:.1%}" if n else "none match" if narrowed else "no labels",
            border=True,
            help="Right predictions among the explained samples with a label"
            + (", as far as they match what is chosen." if narrowed else "."),
        )
    spoken = f"{progress.explained} of {total} samples explained, {progress.failed} failed"
    st.html(bars.stacked(bars.coverage(progress.explained, progress.failed, total), spoken))


def choose_row(rows: list[Row], columns: dict[str, Any], key: str, alt: str) -> int | None:
    """A table of which one row can be ticked; the position of that row."""
    event: Any = st.dataframe(
        rows,
        column_config=columns,
        hide_index=True,
        key=key,
        on_select="rerun",
        selection_mode="single-row",
        height="content" if len(rows) <= 11 else 430,
        alt=alt,
    )
    ticked = event.selection.rows if event else []
    return ticked[0] if ticked and ticked[0] < len(rows) else None


def class_table(chosen: Selection, classes: list[Row]) -> None:
    """One row per class; choosing a row offers its samples."""
    st.subheader("Classes")
    shown = [
        {"label": _name(row["label"]), "n": row["n"], **{k: _percent(row.get(k)) for k in PERCENT}} for row in classes
    ]
    used = [k for k in ("label", "n", *PERCENT) if any(row[k] is not None for row in shown)]
    config: dict[str, Any] = {
        "label": st.column_config.TextColumn("Class", pinned=True),
        "n": st.column_config.NumberColumn("Samples", format="localized"),
        **{k: st.column_config.NumberColumn(name, format="%.0f%%", help=text) for k, (name, text) in PERCENT.items()},
        "accuracy": st.column_config.ProgressColumn("Accuracy", format="%.0f%%", min_value=0.0, max_value=100.0),
    }
    rows = [{k: row[k] for k in used} for row in shown]
    picked = choose_row(rows, config, "classes", "Samples, accuracy and mean relevancy summaries per class")
    if picked is not None:
        class_links(chosen, classes[picked])
    else:
        st.caption("Tick a class to open its samples.")


def objects(run: Run, chosen: Selection) -> None:
    """What a detector found, class by class; choosing a row offers its pictures."""
    found = run.detections()
    if not found:
        return
    st.subheader("Objects found", help="In the whole run." if chosen.narrowed else None)
    picked = choose_row(
        [{**row, "mean_confidence": _percent(row["mean_confidence"])} for row in found],
        {
            "predicted": st.column_config.TextColumn("Class", pinned=True),
            "n": st.column_config.NumberColumn("Objects", format="localized"),
            "samples": st.column_config.NumberColumn("Pictures", format="localized"),
            "mean_confidence": st.column_config.NumberColumn("Confidence", format="%.0f%%"),
        },
        "objects",
        "Objects, pictures and mean confidence per detected class",
    )
    if picked is None:
        st.caption("Tick a class to open the pictures in which it is the shown detection.")
        return
    name = str(found[picked]["predicted"])
    st.page_link(
        "app_pages/samples.py",
        label=f"Pictures with {literal(clip(name, 30))}",
        icon=":material/grid_view:",
        width="content",
        query_params=state_to_params(chosen.with_filter("predicted", Filter("predicted", "in", (name,)))),
    )


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _name(label: str | None) -> str:
    return "(none)" if label is None else label


def class_links(chosen: Selection, row: Row) -> None:
    """Links to the samples of a class: all of them, and the wrong ones."""
    label = row["label"]
    condition = Filter("label", "is_null", None) if label is None else Filter("label", "in", (str(label),))
    everything = chosen.with_filter("label", condition)
    wrong = everything.with_filter("correct", Filter("correct", "eq", False))
    with st.container(horizontal=True, gap="small"):
        name = literal(clip(_name(label), 30))
        for text, selection in ((f"All {row['n']:,} of {name}", everything), (f"Wrong ones of {name}", wrong)):
            st.page_link(
                "app_pages/samples.py",
                label=text,
                icon=":material/grid_view:",
                width="content",
                query_params=state_to_params(selection),
            )


def confusion(run: Run, query: SampleQuery, chosen: Selection) -> None:
    """Label against prediction; a click on a cell opens its samples."""
    st.subheader("Confusion")
    rows = run.confusion(query)
    if not rows:
        st.info("These samples have labels but no predictions to compare them with.", icon=":material/info:")
        return
    figure, note = charts.confusion(rows)
    wrong = sum(int(row["n"]) for row in rows if row["label"] != row["predicted"])
    event = st.plotly_chart(
        figure,
        config=charts.CONFIG,
        key=clicks.key("confusion"),
        on_select="rerun",
        selection_mode="points",
        alt=f"Confusion matrix of label against prediction; {wrong} wrong predictions",
    )
    st.caption(f"Colour: share of the samples with that label. Click a cell to open its samples. {note}")
    conditions = clicks.cell(event, rows)
    if conditions is not None:
        for condition in conditions:
            chosen = chosen.with_filter(condition.column, condition)
        open_samples(chosen)


def open_samples(chosen: Selection) -> None:
    """Leave for the samples of a selection."""
    clicks.follow(chosen)
    st.switch_page("app_pages/samples.py", query_params=state_to_params(chosen))


def histograms(run: Run, query: SampleQuery, chosen: Selection, samples: int) -> None:
    """Distributions of the score, the confidence and relevancy summaries; a click on a bar opens its samples."""
    columns = run.columns()
    bins = min(30, max(8, round(2 * samples**0.5)))
    asked = ((name, run.histogram(query, name, bins)) for name in HISTOGRAMS if name in columns)
    filled = dict(islice(((name, rows) for name, rows in asked if rows), MOST_HISTOGRAMS))
    st.subheader("Distributions")
    st.caption("Click a bar to open its samples.")
    with st.grid(2, min_column_width=320, gap=("xsmall", "large")):
        for name, found in filled.items():
            n = sum(int(b["n"]) for b in found)
            event = st.plotly_chart(
                charts.histogram(found, HISTOGRAMS[name], clickable=True),
                config=charts.CONFIG,
                key=clicks.key(f"bins_{name}"),
                on_select="rerun",
                selection_mode="points",
                alt=f"Histogram over {n} samples: {HISTOGRAMS[name]}",
            )
            condition = clicks.bar(event, found, name)
            if condition is not None:
                open_samples(chosen.with_filter(name, condition))


def failures(run: Run, progress: Progress) -> None:
    """Why samples were skipped."""
    if not progress.failed:
        return
    st.subheader("Failures")
    st.dataframe(
        run.failure_counts(),
        hide_index=True,
        alt="Failures by reason",
        height="content",
        column_config={
            "reason": st.column_config.TextColumn("Reason", width="large"),
            "n": st.column_config.NumberColumn("Samples", format="localized"),
        },
    )
    st.page_link("app_pages/runs.py", label="List of the failed samples", icon=":material/monitor_heart:")


def settings(run: Run) -> None:
    """Everything that made the run, for those who want to repeat it."""
    with st.expander("Settings of this run", icon=":material/tune:"):
        left, right = st.columns(2)
        for place, title, values in (
            (left, "Run", run.record.spec),
            (left, "Versions", run.record.versions),
            (right, "Model", run.record.model),
            (right, "Dataset", run.record.dataset),
        ):
            with place:
                st.markdown(f"**{title}**")
                rows = [
                    {"setting": name, "value": clip(str(value), 300)}
                    for name, value in values.items()
                    if value is not None
                ]
                st.dataframe(
                    rows,
                    hide_index=True,
                    height="content",
                    alt=f"{title} settings",
                    column_config={
                        "setting": st.column_config.TextColumn("Setting", width=130),
                        "value": st.column_config.TextColumn("Value", width="large"),
                    },
                )
        for note in run.record.notes:
            st.caption(literal(note))


def others(runs: list[Row], chosen: Selection) -> None:
    """All runs of the store, when there are several."""
    if len(runs) < 2:
        return
    st.subheader("Runs in this store")
    picked = listing.draw(runs, "overview_runs", choose=True)
    if picked and picked["state"] != "unreadable" and picked["run"] != chosen.run:
        st.page_link(
            "app_pages/overview.py",
            label=f"Open {literal(str(picked['run']))}",
            icon=":material/dashboard:",
            width="content",
            query_params=state_to_params(Selection(run=str(picked["run"]), look=chosen.look)),
        )
    else:
        st.caption("Tick a run to open it.")


def heading(run: Run, columns: Mapping[str, ColumnInfo], chosen: Selection) -> None:
    """The title, what narrows the samples, and what the run is."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Overview", width="content")
        chips.draw(run, columns, chosen)
    record = run.record
    names = [run.id, str(record.model.get("name", "")), str(record.dataset.get("root", ""))]
    st.text("  ·  ".join(clip(name, 90) for name in names if name))


def page() -> None:
    """The whole page."""
    run, chosen, progress = frame.run(), state.current(), frame.run().progress()
    with st.sidebar:
        saved.popover(run, "overview")
    if not progress.explained:
        heading(run, {}, chosen)
        frame.no_samples(run)
        failures(run, progress)
        return
    heading(run, run.columns(), chosen)
    query = frame.query(chosen)
    classes = run.class_summary(query)
    matches = sum(int(row["n"]) for row in classes)
    headline(progress, classes, chosen.narrowed)
    if not matches:
        st.info("No sample matches. Remove a filter above, or clear them all.", icon=":material/filter_alt_off:")
    elif chosen.narrowed:
        st.caption(f"Below: the {matches:,} of {progress.explained:,} explained samples that match.")
    if any(row["label"] is not None for row in classes):
        grid = st.grid(2, min_column_width=380, gap=("small", "large"))
        with grid.cell():
            confusion(run, query, chosen)
        with grid.cell():
            class_table(chosen, classes)
    objects(run, chosen)
    if matches:
        histograms(run, query, chosen, matches)
    failures(run, progress)
    others(data.runs(run.store), chosen)
    settings(run)


page()
