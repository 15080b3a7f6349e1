"""Charts of a comparison: pure functions to plotly figures."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

HEIGHT = 260


def plane(counts: NDArray[np.int64], title: str) -> go.Figure:
    """How many samples have which share in A (across) and in B (up); below the diagonal B has less of it."""
    bins = len(counts)
    middles = (np.arange(bins) + 0.5) / bins
    shade = np.where(counts > 0, np.log10(np.maximum(counts, 1)) + 0.3, np.nan)  # few must stay visible beside many
    figure = go.Figure(
        go.Heatmap(
            x=middles,
            y=middles,
            z=shade,
            customdata=counts,
            colorscale="Viridis",
            showscale=False,
            hoverongaps=False,
            xgap=1,
            ygap=1,
            hovertemplate="A about %{x:.0%}, B about %{y:.0%}<br>%{customdata:,} samples<extra></extra>",
        )
    )
    figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line={"width": 1, "dash": "dot", "color": "#8a96a3"})
    figure.update_xaxes(title=f"{title} in A", range=[0, 1], tickformat=".0%", fixedrange=True)
    figure.update_yaxes(title="in B", range=[0, 1], tickformat=".0%", fixedrange=True)
    figure.update_layout(height=HEIGHT, margin={"l": 10, "r": 10, "t": 10, "b": 10}, showlegend=False)
    return figure
