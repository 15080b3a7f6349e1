"""Chart builders: pure functions from rows to plotly figures.

Colours that carry no meaning of their own come from the theme of the app. All text from data is
escaped with :func:`plain`, because plotly reads a part of HTML in labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dashboard import colormaps
from dashboard.boxes import RegionMap, owners
from dashboard.overlays import Floats, View, data_url
from dashboard.selection import clip

DONE, OPEN = "#2a9d9f", "#9aa7b4"  # explained, not yet; readable on light and dark
LABEL, OTHER = "#d08a2e", "#2a9d9f"
CONFIG = {"displayModeBar": False, "scrollZoom": False}
MAX_CLASSES = 24
HOVER_CELLS = 80  # cells of the longer side that answer the pointer over regions


def plain(text: object, length: int = 28) -> str:
    """Text as plotly shows it literally: clipped and with HTML escaped."""
    return escape(clip(str(text), length), quote=False)


def confusion(rows: Sequence[Mapping[str, Any]]) -> tuple[go.Figure, str]:
    """Confusion matrix of rows {label, predicted, n}, and a line about classes that were left out.

    Colour is the share of the label's row, the text in a cell is the count. With many classes those
    with the most errors are shown. A click on a cell selects its point of the second trace; :func:`confusion_axes`
    tells what its place stands for.
    """
    counts = _counts(rows)
    everything = {name for pair in counts for name in pair}
    labels, predictions = confusion_axes(rows)
    kept = {*labels, *predictions}
    sums: Counter[str] = Counter()
    for (label, _), n in counts.items():
        sums[label] += n
    table = np.array([[counts[a, b] for b in predictions] for a in labels], dtype=float)
    share = table / np.array([[sums[a]] for a in labels], dtype=float)
    figure = _matrix(share, table, labels, predictions)
    left_out = len(everything) > len(kept)
    return figure, f"{len(kept)} of {len(everything)} classes shown: those with the most errors." if left_out else ""


def confusion_axes(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """The labels (rows from the top) and the predictions (columns) that the confusion matrix of these rows has."""
    counts = _counts(rows)
    kept = set(_most_errors(counts, sorted({name for pair in counts for name in pair})))
    return sorted({a for a, _ in counts} & kept), sorted({b for _, b in counts} & kept)


def _counts(rows: Sequence[Mapping[str, Any]]) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        counts[_name(row["label"]), _name(row["predicted"])] += int(row["n"])
    return counts


def _most_errors(counts: Mapping[tuple[str, str], int], names: Sequence[str]) -> list[str]:
    """At most MAX_CLASSES of the names, those that are confused most often."""
    errors: Counter[str] = Counter()
    for (label, predicted), n in counts.items():
        if label != predicted:
            errors[label] += n
            errors[predicted] += n
    return sorted(names, key=lambda name: -errors[name])[:MAX_CLASSES]


def _matrix(share: Floats, table: Floats, labels: Sequence[str], predictions: Sequence[str]) -> go.Figure:
    """Cells [labels, predictions] coloured by share, with their counts."""
    figure = go.Figure(
        go.Heatmap(
            z=share,
            zmin=0,
            zmax=1,
            text=table,
            texttemplate="%{text:.0f}" if table.size <= 400 else None,
            xgap=2,
            ygap=2,
            showscale=False,
            hoverinfo="skip",
        )
    )
    figure.add_trace(_cell_points(share, table, labels, predictions))
    _category_axis(figure.update_xaxes, predictions, "predicted")
    _category_axis(figure.update_yaxes, labels, "label")
    figure.update_xaxes(side="bottom", tickangle=-35)
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(
        height=max(260, 90 + 30 * len(labels)),
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        hovermode="closest",
        hoverdistance=-1,  # the nearest point answers anywhere in its cell
    )
    return figure


def _cell_points(share: Floats, table: Floats, labels: Sequence[str], predictions: Sequence[str]) -> go.Scatter:
    """An invisible point per cell: plotly selects no cell of a heat map, but a point over it."""
    places = [(row, column) for row in range(len(labels)) for column in range(len(predictions))]
    return go.Scatter(
        x=[column for _, column in places],
        y=[row for row, _ in places],
        mode="markers",
        marker={"size": 26, "symbol": "square", "opacity": 0},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        showlegend=False,
        customdata=[
            [plain(labels[row], 60), plain(predictions[column], 60), table[row, column], share[row, column]]
            for row, column in places
        ],
        hovertemplate="label %{customdata[0]}<br>predicted %{customdata[1]}<br>"
        "%{customdata[2]:,.0f} samples, %{customdata[3]:.1%} of the label<extra></extra>",
    )


def _name(value: Any) -> str:
    return "(none)" if value is None else str(value)


def _category_axis(update: Any, names: Sequence[str], title: str) -> None:
    update(
        tickmode="array",
        tickvals=list(range(len(names))),
        ticktext=[plain(n, 18) for n in names],
        title=title,
        showgrid=False,
        zeroline=False,
        fixedrange=True,
        automargin=True,
    )


def histogram(
    bins: Sequence[Mapping[str, Any]], title: str, *, clickable: bool = False, height: int = 230
) -> go.Figure:
    """Bars of bins {low, high, n}.

    ``clickable`` adds an invisible bar of full height over each that is not empty, so that low ones can be hit.
    """
    low, high = [float(b["low"]) for b in bins], [float(b["high"]) for b in bins]
    counts = [int(b["n"]) for b in bins]
    figure = go.Figure(
        go.Bar(
            x=[(a + b) / 2 for a, b in zip(low, high, strict=True)],
            y=counts,
            marker_color=DONE,
            width=[(b - a) * 0.94 if b > a else 1.0 for a, b in zip(low, high, strict=True)],
            customdata=list(zip(low, high, strict=True)),
            hovertemplate="%{customdata[0]:.4g} to %{customdata[1]:.4g}<br>%{y:,} samples<extra></extra>",
        )
    )
    if clickable:
        figure.update_traces(
            selected_marker_opacity=1, unselected_marker_opacity=1, hoverinfo="skip", hovertemplate=None
        )
        figure.add_trace(_full_bars(figure.data[0], counts))
    figure.update_layout(
        height=height,
        barmode="overlay",
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        showlegend=False,
        bargap=0,
        xaxis={"title": {"text": plain(title, 60), "standoff": 12}, "fixedrange": True},
        yaxis={"title": "samples", "fixedrange": True, "dtick": 1 if max(counts, default=0) <= 4 else None},
    )
    return figure


def _full_bars(bars: go.Bar, counts: Sequence[int]) -> go.Bar:
    """Invisible bars over those of a histogram: as high as the highest, none over an empty bin."""
    return go.Bar(
        x=bars.x,
        y=[max(counts, default=0) if n else 0 for n in counts],
        width=bars.width,
        marker={"opacity": 0},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        customdata=[[*ends, n] for ends, n in zip(bars.customdata, counts, strict=True)],
        hovertemplate="%{customdata[0]:.4g} to %{customdata[1]:.4g}<br>%{customdata[2]:,} samples<extra></extra>",
    )


def picture(
    jpeg: bytes,
    size: tuple[int, int],
    relevancy: Floats | RegionMap | None,
    view: View,
    colormap: str,
    room: int = 600,
) -> go.Figure:
    """The painted picture [width, height] with the relevancy of each token cell under the pointer.

    ``relevancy`` is the raw map [rows, columns] or a map over regions, ``view`` its rectangle as fractions of the
    picture, ``room`` the width in pixels that the chart will have about; its height follows from its shape.
    """
    width, height = size
    figure = go.Figure()
    figure.add_layout_image(
        source=data_url(jpeg),
        xref="x",
        yref="y",
        x=0,
        y=0,
        sizex=width,
        sizey=height,
        sizing="stretch",
        layer="below",
    )
    if isinstance(relevancy, RegionMap):
        figure.add_trace(_hover_regions(relevancy, size))
    elif relevancy is not None:
        figure.add_trace(_hover_cells(relevancy, view, size, colormap))
    figure.update_xaxes(visible=False, range=[0, width], fixedrange=True, constrain="domain", constraintoward="left")
    figure.update_yaxes(
        visible=False, range=[height, 0], fixedrange=True, scaleanchor="x", constrain="domain", constraintoward="top"
    )
    figure.update_layout(
        height=int(min(max(room * height / width, 200), 560)),
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        plot_bgcolor="rgba(0,0,0,0)",
        hovermode="closest",
    )
    return figure


def _hover_cells(relevancy: Floats, view: View, size: tuple[int, int], colormap: str) -> go.Heatmap:
    """An invisible heat map over the picture: it only answers the pointer and carries the colour bar."""
    rows, columns = relevancy.shape
    x = np.linspace(view[0], view[2], columns + 1) * size[0]
    y = np.linspace(view[1], view[3], rows + 1) * size[1]
    values = np.nan_to_num(np.asarray(relevancy, dtype=float))
    order = np.argsort(np.argsort(-values, axis=None, kind="stable"), axis=None).reshape(values.shape) + 1
    top = values.max() if values.size and values.max() > 0 else 1.0
    cells = [[[r + 1, c + 1, int(order[r, c]), values[r, c] / top] for c in range(columns)] for r in range(rows)]
    return go.Heatmap(
        x=x,
        y=y,
        z=values,
        customdata=cells,
        opacity=0.0,
        colorscale=colormaps.scale(colormap),
        showscale=False,
        hovertemplate="relevancy %{z:.4g}<br>%{customdata[3]:.0%} of the strongest token<br>"
        f"rank %{{customdata[2]}} of {values.size}<br>"
        "row %{customdata[0]}, column %{customdata[1]}<extra></extra>",
    )


def _hover_regions(regions: RegionMap, size: tuple[int, int]) -> go.Heatmap:
    """An invisible heat map over the picture that answers the pointer with the most relevant region under it."""
    width, height = size
    scale = HOVER_CELLS / max(size)
    columns, rows = max(round(width * scale), 1), max(round(height * scale), 1)
    owner = owners(regions, (columns, rows))
    values = np.nan_to_num(np.asarray(regions.values, dtype=float))
    ranks = np.argsort(np.argsort(-values, kind="stable")) + 1
    top = values.max() if values.max() > 0 else 1.0
    cells = [[[int(ranks[i]), values[i] / top] if i >= 0 else [0, 0.0] for i in row] for row in owner]
    return go.Heatmap(
        x=np.linspace(0, width, columns + 1),
        y=np.linspace(0, height, rows + 1),
        z=np.where(owner >= 0, values[owner], np.nan),
        customdata=cells,
        opacity=0.0,
        showscale=False,
        hoverongaps=False,
        hovertemplate="relevancy %{z:.4g}<br>%{customdata[1]:.0%} of the strongest region<br>"
        f"rank %{{customdata[0]}} of {len(values)}<extra></extra>",
    )
