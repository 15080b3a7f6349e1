"""Charts of the sanity checks: cascades of random weights, and how alike the maps of methods are. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from dashboard.charts import plain
from dashboard.curves import curves
from dashboard.faithfulness.results import is_number

LIMIT_COLOR = "#d55e00"


def cascade(rows: Sequence[Mapping[str, Any]], methods: Sequence[str], own: str) -> go.Figure:
    """Similarity to the maps of the trained model after each stage; the limit is dotted."""
    figure = curves(rows, methods, own, x_title="weights made random, one after the other", y_title="rank correlation")
    details: Mapping[str, Any] = next((row["details"] for row in rows if row.get("details")), {})
    steps, names = rows[0]["curve"]["steps"], list(details.get("stages") or [])
    if len(names) == len(steps):
        figure.update_xaxes(tickmode="array", tickvals=steps, ticktext=[_stage(str(name)) for name in names])
    else:
        figure.update_xaxes(tickformat="d")
    figure.update_traces(
        hovertemplate="%{fullData.name}<br>%{x}: %{y:.3f}<extra></extra>", selector={"mode": "lines+markers"}
    )
    limit = details.get("limit")
    if is_number(limit):
        figure.add_hline(y=limit, line={"color": LIMIT_COLOR, "dash": "dot", "width": 1.5})
    figure.add_hline(y=0, line={"color": "rgba(128,128,128,0.5)", "width": 1})
    return figure


def _stage(name: str) -> str:
    """The last parts of the paths of blocks: `blocks.11 to blocks.8` -> `11 to 8`."""
    return plain(" to ".join(part.rsplit(".", 1)[-1] for part in name.split(" to ")), 24)


def alike(pairs: Mapping[tuple[str, str], Mapping[str, Any]], methods: Sequence[str]) -> go.Figure:
    """A heat map of the mean rank correlation of the maps of every two methods."""
    names = [name for name in methods if any(name in pair for pair in pairs)]
    table = [[1.0 if a == b else _value(pairs.get((a, b))) for b in names] for a in names]
    figure = go.Figure(
        go.Heatmap(
            z=table,
            x=list(range(len(names))),
            y=list(range(len(names))),
            zmin=-1,
            zmax=1,
            colorscale=[[0, "#f1a340"], [0.5, "#f7f7f7"], [1, "#67a9cf"]],  # light enough for one colour of text
            textfont={"color": "#17212b"},
            text=[["" if value is None else f"{value:.2f}" for value in line] for line in table],
            texttemplate="%{text}" if len(names) <= 14 else None,
            xgap=2,
            ygap=2,
            showscale=False,
            hovertemplate="%{text}<extra></extra>",
        )
    )
    ticks = {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [plain(n, 24) for n in names],
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
        "automargin": True,
    }
    figure.update_xaxes(**ticks, tickangle=-35)
    figure.update_yaxes(**ticks, autorange="reversed")
    figure.update_layout(height=130 + 34 * len(names), margin={"l": 10, "r": 10, "t": 10, "b": 10})
    return figure


def _value(row: Mapping[str, Any] | None) -> float | None:
    return None if row is None else float(row["auc"])
