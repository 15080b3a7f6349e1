"""Curves of evaluation tests: a pure function from rows to a plotly figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from dashboard.charts import plain

COLORS = ("#2a9d9f", "#d08a2e", "#6a7fb5", "#b5568f", "#7a8f2e", "#d65f50", "#4f6d7a", "#8a6bbf")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")  # colour is never the only sign
SIGNS = ("circle", "square", "diamond", "triangle-up", "x", "star")
GREY = "#9aa7b4"
RANDOM = "random"


def curves(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """A line per method over the share of the input that was changed; 'random' is grey and dotted."""
    figure = go.Figure()
    others = 0
    for row in sorted(rows, key=lambda row: row["method"] == RANDOM):
        chance = row["method"] == RANDOM
        number, others = others, others + (not chance)
        figure.add_scatter(
            x=row["curve"]["steps"],
            y=row["curve"]["values"],
            mode="lines+markers",
            name=plain(row["method"], 30),
            line={
                "color": GREY if chance else COLORS[number % len(COLORS)],
                "dash": "dot" if chance else DASHES[number % len(DASHES)],
                "width": 2,
            },
            marker={"symbol": "cross" if chance else SIGNS[number % len(SIGNS)], "size": 7},
            hovertemplate=f"{plain(row['method'], 40)}<br>%{{x:.0%}} changed: %{{y:.4g}}<extra></extra>",
        )
    figure.update_layout(
        height=300,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": None},
        xaxis={"title": "share of the input that was changed", "tickformat": ".0%", "fixedrange": True},
        yaxis={"title": "measured", "fixedrange": True},
    )
    return figure
