"""Curves of evaluation tests: a pure function from rows to a plotly figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from dashboard.charts import plain

# Okabe and Ito's colours, which colour-blind people tell apart, and two more
COLORS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#8a6bbf",
    "#7a8f2e",
)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")  # colour is never the only sign
SIGNS = ("circle", "square", "diamond", "triangle-up", "x", "star", "pentagon")
GREY = "#9aa7b4"
RANDOM = {"random": ("dot", "cross"), "constant": ("dash", "circle-open")}  # baselines that know nothing


def curves(
    rows: Sequence[Mapping[str, Any]],
    methods: Sequence[str] = (),
    own: str = "",
    x_title: str = "share of the input that was changed",
    y_title: str = "score",
) -> go.Figure:
    """A line per method over the share of the input that was changed, with its 95 % interval as a band.

    `methods` names all methods of the page in their order, so that one has the same look in every chart; 'random' and
    'constant' are grey and lie below; the run's own method is drawn last and thicker.
    """
    order = list(methods) or [row["method"] for row in rows]
    order = [name for name in order if name not in RANDOM]
    figure = go.Figure()
    for row in sorted(rows, key=lambda row: (row["method"] == own, row["method"] not in RANDOM, _place(row, order))):
        number = _place(row, order)
        chance = number < 0
        color = GREY if chance else COLORS[number % len(COLORS)]
        _band(figure, row, color)
        figure.add_scatter(
            x=row["curve"]["steps"],
            y=row["curve"]["values"],
            mode="lines+markers",
            name=plain(row["method"], 34),
            legendgroup=row["method"],
            legendrank=1000 + (len(order) if chance else number),
            line={
                "color": color,
                "dash": _baseline(row)[0] if chance else DASHES[number % len(DASHES)],
                "width": 3 if row["method"] == own else 1.8,
            },
            marker={"symbol": _baseline(row)[1] if chance else SIGNS[number % len(SIGNS)], "size": 7},
            hovertemplate=f"{plain(row['method'], 40)}<br>%{{x:.0%}}: %{{y:.4g}}<extra></extra>",
        )
    figure.update_layout(
        height=300 + 18 * (len(rows) // 3),
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": None},
        xaxis={"title": x_title, "tickformat": ".0%", "fixedrange": True},
        yaxis={"title": y_title, "fixedrange": True},
    )
    return figure


def _baseline(row: Mapping[str, Any]) -> tuple[str, str]:
    return RANDOM.get(row["method"], ("dot", "cross"))


def _place(row: Mapping[str, Any], order: Sequence[str]) -> int:
    return order.index(row["method"]) if row["method"] in order else -1


def _band(figure: go.Figure, row: Mapping[str, Any], color: str) -> None:
    """The interval at every step that has one."""
    steps = row["curve"]["steps"]
    ends = zip(row["curve"].get("low") or (), row["curve"].get("high") or (), strict=True)
    known = [(x, a, b) for x, (a, b) in zip(steps, ends, strict=False) if a is not None and b is not None]
    if len(known) < 2:
        return
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    figure.add_scatter(
        x=[x for x, _, _ in known] + [x for x, _, _ in reversed(known)],
        y=[low for _, low, _ in known] + [high for _, _, high in reversed(known)],
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},0.14)",
        mode="lines",
        line={"width": 0},
        legendgroup=row["method"],  # a click in the legend hides both
        showlegend=False,
        hoverinfo="skip",
    )
