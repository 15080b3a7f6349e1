"""The table of all runs of a store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from dashboard.data import Row

ROWS = 12  # rows up to which the table shows all of itself


def moment(text: str | None) -> datetime | None:
    """A time of the record; None when there is none."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def shown(row: Row) -> Row:
    """A row of ``storage.list_runs`` as the table shows it."""
    done = row["explained"] + row["failed"]
    copied = ("run", "state", "explained", "failed", "samples", "model", "method", "target", "dataset")
    return {
        **{name: row[name] for name in copied},
        "done": done / row["samples"] if row["samples"] else None,
        "speed": row["samples_per_second"],
        "started": moment(row["created_at"]),
        "suspects": row.get("suspects"),
        "problem": row.get("problem"),
    }


def columns() -> dict[str, Any]:
    """Titles and formats, in order."""
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    return {
        "run": text("Run", pinned=True),
        "state": text("State"),
        "done": st.column_config.ProgressColumn("Done", min_value=0.0, max_value=1.0, format="percent"),
        "explained": number("Explained", format="localized"),
        "failed": number("Failed", format="localized"),
        "samples": number("Samples", format="localized"),
        "suspects": text("Suspects"),
        "model": text("Model"),
        "method": text("Method"),
        "target": text("Target"),
        "speed": number("Samples/s", format="%.1f"),
        "started": st.column_config.DatetimeColumn("Started", format="localized"),
        "dataset": text("Dataset"),
        "problem": text("Problem"),
    }


def draw(runs: Sequence[Row], key: str, *, choose: bool = False) -> Row | None:
    """Draw the table; with ``choose`` a row can be ticked and is returned."""
    rows, config = [shown(row) for row in runs], columns()
    optional = ("problem", "suspects")
    event: Any = st.dataframe(
        rows,
        key=key,
        hide_index=True,
        height="content" if len(rows) <= ROWS else 460,
        alt="All runs of the store with their state and progress",
        column_config=config,
        column_order=[name for name in config if name not in optional or any(row[name] for row in rows)],
        on_select="rerun" if choose else "ignore",
        selection_mode="single-row",
    )
    picked = event.selection.rows if choose and event else []
    return runs[picked[0]] if picked and picked[0] < len(runs) else None
