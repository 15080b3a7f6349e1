"""The export button: nothing is written before somebody clicks."""

from __future__ import annotations

import re

import streamlit as st

from dashboard import reviews
from dashboard.data import Run
from dashboard.samples import export, scope
from storage import SampleQuery


def popover(run: Run, query: SampleQuery, matches: int) -> None:
    """Which samples, and a button per kind of file."""
    with st.popover("Export", icon=":material/download:"):
        wanted = scope.choose(run, query, matches, "export")
        choice = export.Choice(run, wanted.query, reviews.of(run.store))
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", run.id)[:80] or "samples"
        st.download_button(
            _limited("CSV", wanted.n, export.MOST_CSV),
            lambda: export.as_csv(choice),
            f"{name}.csv",
            "text/csv",
            key="export_csv",
            icon=":material/csv:",
            on_click="ignore",
            width="stretch",
            help="Lists are JSON. A text that begins with = + - @ gets an apostrophe before it, so that a spreadsheet "
            "shows it and does not run it; take Parquet where texts must be exact.",
        )
        st.download_button(
            _limited("Parquet", wanted.n, export.MOST_PARQUET),
            lambda: export.as_parquet(choice),
            f"{name}.parquet",
            "application/vnd.apache.parquet",
            key="export_parquet",
            icon=":material/table:",
            on_click="ignore",
            width="stretch",
            help="Every column of the samples and of their explanation, with the values of the store.",
        )
        if run.has_pictures:
            st.download_button(
                _limited("Pictures (zip)", wanted.n, export.MOST_PICTURES),
                lambda: export.as_zip(choice),
                f"{name}.zip",
                "application/zip",
                key="export_zip",
                icon=":material/folder_zip:",
                on_click="ignore",
                width="stretch",
                help=f"The original files, at most {export.MOST_BYTES // 2**20} MB, with a manifest.csv that also "
                "lists those that are missing.",
            )
        st.caption("Files are made when you click. Their order is that of the page.")


def _limited(kind: str, n: int, most: int) -> str:
    return kind if n <= most else f"{kind}: the first {most:,} of {n:,}"
