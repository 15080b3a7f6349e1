"""Report: choose suspects, make one file that opens without a network, download it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import frame, identity, reviews, state
from dashboard.data import Row, Run
from dashboard.report import form as forms
from dashboard.report.form import Form
from dashboard.report.make import Made, make
from dashboard.report.method import report_command, search_command
from dashboard.report.options import LINK_BASE, Options, ReportError, many, size_text
from dashboard.selection import clip, state_to_params
from dashboard.suspects import listing
from dashboard.words import literal
from storage import StoreError, wording

FORMATS = {
    "html": "HTML: one file with pictures",
    "md": "Markdown: the same without pictures",
    "csv": "CSV: a row per suspect",
}
MIME = {"html": "text/html", "md": "text/markdown", "csv": "text/csv"}
_MADE = "report_made"  # (what it was made of, the report) of this session


def which(run: Run, form: Form, rows: Sequence[Row], filtered: Sequence[Row]) -> None:
    """Which suspects the report holds."""
    counts = {"filtered": len(filtered), "flagged": sum(row["flagged"] for row in rows), "picked": len(form.picks)}
    st.segmented_control(
        "Suspects in the report",
        list(forms.WHICH),
        required=True,
        format_func=lambda value: f"{forms.WHICH[value]} ({counts[value]})",
        **state.control("report_which", form.which, lambda value: _choose("report", [value])),
    )
    if form.which == "picked":
        titles = {str(row["id"]): f"{row['rank']} {clip(wording.title(row), 80)}" for row in rows}
        st.multiselect(
            "Pick suspects",
            list(titles),
            format_func=titles.__getitem__,
            max_selections=forms.MOST_PICKS,
            placeholder="Suspects by rank and name",
            **state.control("report_picks", [p for p in form.picks if p in titles], lambda ids: _choose("pick", ids)),
        )
    elif form.which == "filtered":
        st.page_link(
            "app_pages/suspects.py",
            label="Change the filters on Suspects",
            icon=":material/filter_alt:",
            width="content",
            query_params=state_to_params(state.current()),
        )


def look(form: Form) -> None:
    """Title, format, size."""
    st.text_input(
        "Title",
        max_chars=200,
        placeholder=f"What does the model rely on? {clip(frame.run().id, 60)}",
        **state.control(
            "report_title", form.title, lambda text: _choose("title", [text.strip()] if text.strip() else [])
        ),
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.selectbox(
            "Format",
            list(FORMATS),
            format_func=FORMATS.__getitem__,
            width=300,
            **state.control("report_format", form.format, lambda value: _choose("format", [value])),
        )
        if form.format == "html":
            st.number_input(
                "At most (MB)",
                min_value=forms.LEAST_MB,
                max_value=forms.MOST_MB,
                step=0.5,
                format="%.1f",
                width=150,
                help="Pictures are recompressed, and if need be fewer are shown, until the file fits.",
                **state.control("report_mb", form.max_mb, lambda value: _choose("mb", [f"{value:g}"])),
            )
            st.toggle(
                "Charts can be explored",
                help="Brings a chart library of 2 MB into the file, where there is room for it.",
                **state.control(
                    "report_charts", not form.static, lambda on: _choose("charts", [] if on else ["static"])
                ),
            )


def _choose(group: str, values: Sequence[str]) -> None:
    state.put(state.current().with_only(group, values))


def base() -> str:
    """The address of this dashboard, which the cases of a report link to."""
    address = (st.context.url or "").split("?")[0].rstrip("/")
    return address.removesuffix("/report") or LINK_BASE


def build(run: Run, options: Options) -> None:
    """The button, and what came of it."""
    key = (run.id, run.reader.version, options)
    if st.button("Make the report", type="primary", icon=":material/summarize:", key="make_report"):
        bar = st.progress(0.0, "Reading")
        try:
            made = make(run, options, lambda done, what: _show(bar, done, what))
            st.session_state[_MADE] = (key, made)
        except (ReportError, StoreError) as problem:
            st.session_state.pop(_MADE, None)
            st.error(literal(str(problem)), icon=":material/error:")
        bar.empty()
    before, report = st.session_state.get(_MADE, (None, None))
    if before == key and isinstance(report, Made):
        ready(report)


def _show(bar: st.delta_generator.DeltaGenerator, done: float, what: str) -> None:
    bar.progress(min(max(done, 0.0), 1.0), literal(what))


def ready(made: Made) -> None:
    """The finished report."""
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="medium"):
        st.download_button(
            "Download",
            made.content,
            file_name=made.name,
            mime=MIME[made.format],
            icon=":material/download:",
            key="download_report",
            on_click="ignore",
        )
        counts = f"{many(made.suspects, 'suspects')}, {many(made.samples, 'samples')}"
        counts += f", {many(made.pictures, 'pictures')}" if made.format == "html" else ""
        st.text(f"{made.name}: {size_text(len(made.content))}, {counts}", width="content")
        if made.shrunk:
            st.caption(literal(f"To fit: {made.shrunk}."), width="content")


def page() -> None:
    """The whole page."""
    run = frame.run()
    found, form = run.suspects(), forms.read(state.current())
    rows = found.rows
    st.title("Report")
    st.caption(
        "One file to send on: a summary, every suspect with its evidence and verdicts, method and limits. It opens "
        "without a network and prints well; every case links back to this dashboard."
    )
    if rows:
        name = identity.current().name
        wanted = listing.choices(state.current(), listing.options(rows))
        filtered = listing.filtered(rows, wanted, reviews.standing(run.store, run.id), name, "").rows
        which(run, form, rows, filtered)
        shown = forms.suspects(form, rows, filtered)
    else:
        shown = []
        st.info(
            "This run has no suspects: the report says how much of the dataset was explained and how often the model "
            "is right. This command looks for suspects:",
            icon=":material/info:",
        )
        st.code(search_command(run.id, run.store, found.about), language="bash", wrap_lines=True)
    look(form)
    options = forms.options(form, rows, shown, base())
    if rows and not shown:
        st.warning("No suspect is chosen.", icon=":material/filter_alt_off:")
    else:
        build(run, options)
    with st.expander("The same on the command line", icon=":material/terminal:"):
        st.code(report_command(run.id, run.store, options), language="bash", wrap_lines=True)


page()
