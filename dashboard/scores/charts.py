"""Charts of the scores of pairs: their distribution beside shuffled pairs, and how far they fall. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from dashboard.charts import DONE, LABEL, OPEN, histogram
from dashboard.scores.shuffled import Shuffled

KINDS = {"drop_mean": "Patches, mean colour", "drop_blur": "Patches, blurred", "drop_word": "Word, left out"}
WIDER = 15  # bins that may be added on each side, so that shuffled pairs are seen as well
HIGHEST = 1.3  # times the highest bar: how far the chart reaches where shuffled pairs pile up on one score
REMOVED, RANDOM = "most relevant", "at random"

Bin = dict[str, Any]


def widened(bins: Sequence[Bin], shuffled: Shuffled | None) -> list[Bin]:
    """The bins {low, high, n} of pairs, with empty ones before and after as far as shuffled pairs reach (1 to 99 %)."""
    found = list(bins)
    if shuffled is None or not bins or bins[0]["high"] <= bins[0]["low"]:
        return found
    width = float(bins[0]["high"]) - float(bins[0]["low"])
    last = len(shuffled.quantiles) - 1
    first, end = (float(shuffled.quantiles[round(share * last)]) for share in (0.01, 0.99))
    for _ in range(WIDER):
        if float(found[0]["low"]) > first:
            low = float(found[0]["low"])
            found.insert(0, {"low": low - width, "high": low, "n": 0})
        if float(found[-1]["high"]) < end:
            high = float(found[-1]["high"])
            found.append({"low": high, "high": high + width, "n": 0})
    return found


def distribution(bins: Sequence[Bin], shuffled: Shuffled | None, title: str) -> go.Figure:
    """Bars of bins {low, high, n} that can be clicked, and as a line what as many shuffled pairs would have."""
    figure = histogram(bins, title, clickable=True, height=280)
    figure.update_layout(yaxis_title="pairs")
    low, high = [float(b["low"]) for b in bins], [float(b["high"]) for b in bins]
    if shuffled is None or not bins or high[-1] <= low[0]:
        return figure
    expected = _expected(bins, shuffled)
    figure.data[0].update(name="pairs", showlegend=True)
    for trace in figure.data[1:]:
        trace.showlegend = False
    figure.add_scatter(
        x=[*low, high[-1]],
        y=[*expected, expected[-1]],
        mode="lines",
        name="as many shuffled pairs",
        line={"shape": "hv", "color": LABEL, "width": 2, "dash": "dot"},
        hoverinfo="skip",  # it must not take the clicks from the bars
    )
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
    if is_cut(bins, shuffled):
        figure.update_yaxes(range=[0, HIGHEST * max(int(b["n"]) for b in bins)])
    return figure


def is_cut(bins: Sequence[Bin], shuffled: Shuffled | None) -> bool:
    """Whether the line of shuffled pairs is so much higher than the bars that its top is cut off."""
    if shuffled is None or not bins or bins[0]["high"] <= bins[0]["low"]:
        return False
    return max(_expected(bins, shuffled)) > 2 * max(int(b["n"]) for b in bins)


def _expected(bins: Sequence[Bin], shuffled: Shuffled) -> list[float]:
    """How many of as many shuffled pairs each bin would have."""
    total = sum(int(b["n"]) for b in bins)
    edges = [*(float(b["low"]) for b in bins), float(bins[-1]["high"])]
    return [float(share) * total for share in shuffled.shares(edges)]


def falls_of_pair(row: Mapping[str, float], score: float) -> go.Figure:
    """How far the score of one pair falls: two bars per check. `row` has the columns drop_... of both its maps."""
    kinds = [kind for kind in KINDS if row.get(kind) is not None]
    figure = go.Figure()
    for name, ending, color in ((RANDOM, "_random", OPEN), (REMOVED, "", DONE)):
        values = [row.get(f"{kind}{ending}") for kind in kinds]
        figure.add_bar(
            x=values,
            y=list(range(len(kinds))),
            orientation="h",
            name=name,
            marker_color=color,
            text=["" if value is None else f"{value:.3g}" if abs(value) >= 5e-4 else "0" for value in values],
            textposition="outside",
            cliponaxis=False,
            hovertemplate=f"{name}: falls by %{{x:.4g}} of {score:.4g}<extra></extra>",
        )
    _checks(figure, [KINDS[kind] for kind in kinds])
    ends = [float(v) for kind in kinds for v in (row.get(kind), row.get(f"{kind}_random")) if v is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    room = 0.18 * ((high - low) or 1.0)
    figure.update_xaxes(range=[low - (room if low < 0 else 0), high + room])
    return figure


def falls_of_all(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Boxes (25 to 75 %, median, whiskers 5 to 95 %) of the fall over all pairs; rows as `storage.queries.falls`."""
    figure = go.Figure()
    for name, key, color in ((RANDOM, "random", OPEN), (REMOVED, "removed", DONE)):
        quantiles = list(zip(*(row[key] for row in rows), strict=True))
        figure.add_trace(
            go.Box(
                y=list(range(len(rows))),
                lowerfence=quantiles[0],
                q1=quantiles[1],
                median=quantiles[2],
                q3=quantiles[3],
                upperfence=quantiles[4],
                orientation="h",
                name=name,
                marker_color=color,
                hoverinfo="x",
            )
        )
    _checks(figure, [KINDS[str(row["kind"])] for row in rows])
    figure.update_layout(boxmode="group")
    return figure


def _checks(figure: go.Figure, names: Sequence[str]) -> None:
    """Layout of both charts: one line per check."""
    figure.update_yaxes(
        tickmode="array",
        tickvals=list(range(len(names))),
        ticktext=list(names),
        autorange="reversed",
        showgrid=False,
        fixedrange=True,
        automargin=True,
    )
    figure.update_xaxes(title="fall of the score", fixedrange=True, zeroline=True)
    figure.update_layout(
        height=110 + 62 * len(names),
        barmode="group",
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "reversed"},
    )
