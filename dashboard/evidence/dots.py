"""A chart of estimates with their intervals, each as a dot with a line. A pure builder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from dashboard.charts import LABEL, OPEN, plain

ROW, FRAME = 34, 58  # pixels of a line of the chart, and of its axis


@dataclass(frozen=True)
class Dot:
    """One line of the chart; a `control` is drawn as an open diamond."""

    name: str
    value: float
    low: float | None
    high: float | None
    control: bool = False
    more: str = ""

    def told(self, percent: bool) -> str:
        """The numbers in words."""
        form = ".0%" if percent else ".2f"
        low, high = (self.low, self.high) if self.low is not None and self.high is not None else (None, None)
        interval = "" if low is None or high is None else f" ({low:{form}} to {high:{form}})"
        return f"{self.value:{form}}{interval}{f', {self.more}' if self.more else ''}"


def chart(dots: Sequence[Dot], axis: str, *, percent: bool = False) -> go.Figure:
    """Horizontal lines, the first on top, with a line at zero; `axis` says what is measured."""
    figure = go.Figure()
    for control in (False, True):
        lines = [(place, dot) for place, dot in enumerate(dots) if dot.control is control]
        if not lines:
            continue
        color = OPEN if control else LABEL
        figure.add_scatter(
            x=[dot.value for _, dot in lines],
            y=[place for place, _ in lines],
            mode="markers",
            marker={
                "color": color,
                "size": 11,
                "symbol": "diamond-open" if control else "circle",
                "line": {"width": 2, "color": color},
            },
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [0.0 if dot.high is None else max(dot.high - dot.value, 0.0) for _, dot in lines],
                "arrayminus": [0.0 if dot.low is None else max(dot.value - dot.low, 0.0) for _, dot in lines],
                "color": color,
                "thickness": 2,
                "width": 5,
            },
            customdata=[[plain(dot.name, 80), plain(dot.told(percent), 120)] for _, dot in lines],
            hovertemplate="%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
        )
    ends = [edge for dot in dots for edge in (dot.value, dot.low, dot.high, 0.0) if edge is not None]
    room = (max(ends) - min(ends) or 1.0) * 0.04
    figure.update_xaxes(
        title=plain(axis, 80),
        range=[0 - room, 1 + room] if percent else [min(ends) - room, max(ends) + room],
        tickformat=".0%" if percent else None,
        zeroline=True,
        zerolinewidth=2,
        fixedrange=True,
    )
    figure.update_yaxes(
        tickmode="array",
        tickvals=list(range(len(dots))),
        ticktext=[plain(dot.name, 34) for dot in dots],
        range=[len(dots) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
        fixedrange=True,
        automargin=True,
    )
    figure.update_layout(height=FRAME + ROW * len(dots), margin={"l": 10, "r": 10, "t": 6, "b": 10}, showlegend=False)
    return figure


def spoken(dots: Sequence[Dot], *, percent: bool = False) -> str:
    """The chart in words, for who cannot see it."""
    return "; ".join(f"{dot.name}: {dot.told(percent)}" for dot in dots)
