"""Runs: progress of every run, live while one is being made; failures; how to resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import bars, data, frame, listing, resume, state
from dashboard.data import Row, Run
from dashboard.selection import state_to_params
from dashboard.settings import store_path
from dashboard.words import literal
from storage import StoreError
from storage.media.secrets import shown as without_keys

LINKS = (
    ("samples", "Samples", ":material/grid_view:"),
    ("compare", "Compare", ":material/difference:"),
    ("faithfulness", "Faithfulness", ":material/verified:"),
)
STATES = {
    "running": ("blue", ":material/sync:"),
    "finished": ("green", ":material/check_circle:"),
    "interrupted": ("orange", ":material/pause_circle:"),
    "failed": ("red", ":material/error:"),
    "unreadable": ("red", ":material/error:"),
}


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return "unknown"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def progress(run: Run, row: Row) -> None:
    """How far the selected run is and how fast it goes."""
    now = run.progress()
    color, icon = STATES.get(str(row["state"]), ("gray", ":material/help:"))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(literal(run.id), width="content")
        st.badge(str(row["state"]), color=color, icon=icon)  # type: ignore[arg-type]
        if now.live:
            st.caption("refreshed every 2 seconds", width="content")
    total = int(now.samples or 0) or now.explained + now.failed
    with st.grid(4, min_column_width=100, gap="xsmall"):
        st.metric("Explained", f"{now.explained:,}", border=True)
        st.metric("Failed", f"{now.failed:,}", border=True)
        st.metric(
            "Samples/s",
            "–" if now.samples_per_second is None else f"{now.samples_per_second:,.1f}",
            border=True,
        )
        st.metric(
            "Time left" if now.live else "Parts",
            duration(now.eta_seconds) if now.live else f"{now.parts_done:,}",
            border=True,
        )
    spoken = f"{now.explained} of {total} samples explained, {now.failed} failed"
    st.html(bars.stacked(bars.coverage(now.explained, now.failed, total), spoken))
    seconds = {"read": now.seconds_read, "compute": now.seconds_compute, "write": now.seconds_write}
    if sum(seconds.values()):
        st.caption("Share of the working time per stage (stages overlap, so the longest one sets the pace)")
        spoken = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
        st.html(bars.stacked(bars.time_shares(seconds), spoken))


def suspects(store: Path, row: Row) -> str | None:
    """How many suspects a run has, in words; None when they were never looked for."""
    counts = None if row["state"] == "unreadable" else data.suspect_counts(store, str(row["run"]))
    if counts is None:
        return None
    return f"{counts['suspects']} ({counts['verified']} verified, {counts['flagged']} probably spurious)"


def open_links(run: Run, row: Row) -> None:
    """Links to what a run has to show, and the command that looks for suspects where nobody has."""
    here = state_to_params(replace(state.current(), run=run.id))
    with st.container(horizontal=True, vertical_alignment="center"):
        if row.get("suspects"):
            label = f"Suspects: {row['suspects']}"
            st.page_link(
                "app_pages/suspects.py", label=label, icon=":material/policy:", query_params=here, width="content"
            )
        for page, label, icon in LINKS:
            st.page_link(f"app_pages/{page}.py", label=label, icon=icon, query_params=here, width="content")
    if not row.get("suspects") and not row["live"]:
        st.caption(f"Nobody has looked for suspects in this run yet: `python -m jobs suspects {run.id}` does.")


def go_on(run: Run, row: Row, store: Path) -> None:
    """The command that finishes a run which stopped early."""
    if row["state"] in ("interrupted", "failed"):
        st.info(
            "Every finished part is safe. The same command goes on where the run stopped:",
            icon=":material/play_circle:",
        )
        st.code(resume.command(run.record, store), language="bash", wrap_lines=True)


def failures(run: Run) -> None:
    """Samples that were skipped, by reason and one by one."""
    st.subheader("Failures")
    counts = run.failure_counts()
    if not counts:
        st.caption("No sample failed.")
        return
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    st.dataframe(
        counts,
        hide_index=True,
        height="content" if len(counts) <= 10 else 380,
        alt="Failures by reason",
        column_config={"reason": text("Reason", width="large"), "n": number("Samples", format="localized")},
    )
    rows = [{**row, "uri": without_keys(str(row["uri"]))} for row in run.failures()]
    with st.expander(f"Failed samples ({sum(c['n'] for c in counts):,})", icon=":material/list:"):
        st.dataframe(
            rows,
            hide_index=True,
            alt="Failed samples with their reasons",
            column_config={
                "sample_id": number("Sample", format="%d"),
                "uri": text("File", width="medium"),
                "reason": text("Reason", width="large"),
            },
        )
        if len(rows) < sum(c["n"] for c in counts):
            st.caption(f"The first {len(rows):,} are listed.")


def everything(store: Path, name: str, was_live: bool) -> None:
    """The live part of the page: drawn again every two seconds while a run is being made."""
    try:
        rows = [{**row, "suspects": suspects(store, row)} for row in data.runs(store)]
        if any(row["live"] for row in rows) != was_live:
            st.rerun()  # a run began or ended: draw the sidebar anew and change the pace
        listing.draw(rows, "runs")
        row: dict[str, Any] = next((r for r in rows if r["run"] == name), rows[0])
        run = Run.open(store, str(row["run"]))
        progress(run, row)
        open_links(run, row)
        go_on(run, row, store)
        failures(run)
        for problem in run.reader.problems:
            st.warning(literal(problem), icon=":material/warning:")
    except StoreError as error:
        frame.failed(error)


store = store_path()
st.title("Runs")
live = any(row["live"] for row in data.runs(store))
st.fragment(everything, run_every=2 if live else 15)(store, frame.run().id, live)
for note in frame.run().record.notes:
    st.caption(literal(note))
