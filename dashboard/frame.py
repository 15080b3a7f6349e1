"""What surrounds every page: the choice of run and target, the link to the view, empty states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import data, state
from dashboard.data import Row, Run
from dashboard.faithfulness.results import unreactive
from dashboard.narrow import narrowed
from dashboard.selection import MODALITIES, Selection, fit, link, state_to_params
from dashboard.words import literal
from storage import Following, SampleQuery, StoreError, address_of
from storage.errors import MEND

_RUN = "opened_run"
SHOW_MAPS = ("suspects", "evidence", "samples", "sample", "overview", "scores", "words", "compare")
RUN_COMMAND = "python -m jobs run --data PHOTOS --model timm:vit_base_patch16_224 --store {store}"


def open_selected(store: Path) -> list[Row]:
    """Open the selected run. Returns the runs of the store, newest first.

    Afterwards :func:`run` gives the run, and the selection names only what the run has.
    """
    st.session_state[_RUN] = None
    runs = [row for row in data.runs(store) if row["state"] != "unreadable"]
    if not runs:
        return []
    names = [str(row["run"]) for row in runs]
    chosen, problems = fit(state.current(), runs=names)
    run = Run.open(store, chosen.run)
    targets = run.targets()
    if targets:  # nothing to compare with before the first part is written
        columns = {name: info.kind for name, info in run.columns().items()}
        chosen, more = fit(chosen, runs=names, targets=targets, columns=columns)
        problems += more
    state.put(chosen)
    state.settled()
    state.add_problems(problems)
    st.session_state[_RUN] = run
    return runs


def run() -> Run:
    """The opened run; app.py draws no page without one."""
    opened = st.session_state.get(_RUN)
    if not isinstance(opened, Run):
        raise RuntimeError("the page was drawn without a run; start dashboard/app.py, not the page")
    return opened


def query(chosen: Selection) -> SampleQuery:
    """The samples of a selection, restricted by everything in it; says what of it had to be left out."""
    asked, problems = narrowed(run(), chosen)
    for problem in problems:
        st.warning(literal(problem), icon=":material/filter_alt_off:")
    return asked


def show_problems() -> None:
    """Say what of a link could not be shown."""
    for problem in state.take_problems():
        st.warning(literal(problem), icon=":material/link_off:")


def show_unreactive(page: str) -> None:
    """Warn, where maps are shown, of a run whose maps do not react to the model's weights."""
    if page not in SHOW_MAPS:
        return
    try:
        rows = list(unreactive(run().faithfulness(), run().method))
    except StoreError:  # the page Faithfulness says what is wrong with the file
        return
    if rows:
        what = " and ".join(dict.fromkeys(str(row["modality"]) for row in rows))
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.warning(
                f"**The {literal(what)} maps do not react to the model's weights** (sanity check): do not trust them.",
                icon=":material/report:",
            )
            st.page_link(
                "app_pages/faithfulness.py",
                label="See the check",
                icon=":material/verified:",
                width="content",
                query_params=state_to_params(state.current()),
            )


def link_field(place: DeltaGenerator, page: str) -> None:
    """The link that opens exactly this view, with a button to copy it."""
    base = (st.context.url or "").split("?")[0] or f"/{page}"
    with place.popover("Link to this view", icon=":material/link:", width="stretch"):
        st.caption("Opens the same run, filters, order, page, sample and look.")
        st.code(link(base, state.current()), language=None, wrap_lines=True)


def no_store(store: Path) -> None:
    """What to do when there is nothing to show yet."""
    st.title("Nothing to show yet")
    for row in data.runs(store):
        st.error(literal(str(row.get("problem"))), title=literal(f"Run {row['run']} cannot be read"))
    if store.is_dir():
        st.markdown("The store at the path below has no runs. Explain a dataset into it, then reload this page:")
    else:
        st.markdown("There is no store at the path below. Make one by explaining a dataset, then reload this page:")
    st.code(address_of(store), language=None, wrap_lines=True)
    st.markdown("**Your own pictures** (a folder of class folders, a flat folder, or a table):")
    st.code(RUN_COMMAND.format(store=address_of(store)), language="bash", wrap_lines=True)
    st.markdown("**The built-in example** with planted shortcuts:")
    st.code("make demo", language="bash")
    st.caption("Another store? Start with `python -m dashboard --store DIR`, or set `RELEVANCY_AUDIT_STORE`.")


def no_samples(run: Run) -> None:
    """What to do when a run has no explanation yet."""
    if run.progress().live:
        st.info(
            "The run has just begun. The first samples appear here when the first part is written.",
            icon=":material/hourglass_top:",
        )
    else:
        st.info(
            "No sample of this run was explained. The Runs page lists the failures and the command to go on.",
            icon=":material/info:",
        )
    st.page_link("app_pages/runs.py", label="Open Runs", icon=":material/monitor_heart:")


def show_mirror(following: Following) -> None:
    """Why a store elsewhere cannot be read any more, if that is so; what was copied before stays on the pages."""
    if following.problem:
        st.warning(literal(following.problem), icon=":material/cloud_off:")


def failed(error: StoreError) -> None:
    """A store that cannot be read: one clear line, and what can be done."""
    said, mend, command = str(error).partition(MEND)
    st.error(literal(said + mend.rstrip(": ")), title="The store cannot be read", icon=":material/error:")
    if command:  # as code: literal() puts characters that nobody sees into text, for people, not for shells
        st.code(command, language="bash", wrap_lines=True)
    st.caption(
        "The files were not changed. Reload the page after mending the store, or choose another one with "
        "`python -m dashboard --store DIR`."
    )


def links_to(pages: Sequence[st.Page]) -> None:
    """The pages in the sidebar, each with the selection in its link."""
    params = state_to_params(state.current())
    with st.sidebar.container(gap="xxsmall"):
        for page in pages:
            st.page_link(page, query_params=params)


def choices(runs: list[Row]) -> None:
    """Which run, target and modality: in the sidebar of every page."""
    chosen, found = state.current(), run().targets()
    targets, modalities = list(found), found.get(chosen.target, [])
    with st.sidebar:
        st.selectbox(
            "Run",
            [row["run"] for row in runs],
            format_func=_run_names(runs).__getitem__,
            **state.control("run", chosen.run, _choose_run),
        )
        if len(targets) > 1:
            st.selectbox(
                "Explained target",
                targets,
                format_func=target_name,
                help="Which score of the model the relevancy explains.",
                **state.control("target", chosen.target, lambda v: state.change(target=v)),
            )
        if len(modalities) > 1:
            st.segmented_control(
                "Filter and sort by relevancy on",
                [m for m in MODALITIES if m in modalities],
                required=True,
                format_func=str.capitalize,
                width="stretch",
                **state.control("modality", chosen.modality, lambda v: state.change(modality=v)),
            )


def target_name(target: str) -> str:
    """A target as people read it; detections count from 1."""
    number = target.removeprefix("detection:")
    return f"detection {int(number) + 1}" if number != target and number.isdecimal() else target


def _run_names(runs: list[Row]) -> dict[str, str]:
    return {row["run"]: f"{row['run']} (running)" if row["live"] else str(row["run"]) for row in runs}


def _choose_run(name: str) -> None:
    """Another run: keep the look, the filters and the order; what it has not is dropped with a word."""
    state.put(replace(state.current(), run=name, target="", page=1, sample=None))
