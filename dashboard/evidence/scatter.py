"""Members and others of the class as points: what the model looks at alike lies close together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard.charts import LABEL, OTHER, plain
from dashboard.evidence.compared import compared
from dashboard.evidence.meanmap import shares
from dashboard.evidence.subject import Subject
from storage.queries import members as queries

SPACES = {"maps": "Relevancy maps", "features": "Weighted features"}
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Points:
    """Samples as points: ids [n], places [n, 2], who is a member [n], and how much of the variance each axis holds."""

    ids: NDArray[np.int64]
    places: Floats
    member: NDArray[np.bool_]
    variance: tuple[float, float]
    note: str = ""


def pca(vectors: Floats) -> tuple[Floats, tuple[float, float]]:
    """The first two principal components of vectors [n, d]: places [n, 2], and the share of the variance of each.

    Of the two possible signs of a component the one is taken whose largest loading is positive.
    """
    centered = np.asarray(vectors, dtype=np.float64) - vectors.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centered, full_matrices=False)
    axes, sizes = axes[:2], sizes**2
    signs = np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1))
    places = np.zeros((len(vectors), 2))
    places[:, : len(axes)] = centered @ (axes * np.where(signs == 0, 1, signs)).T
    whole = sizes.sum() or 1.0
    parts = [float(size / whole) for size in sizes[:2]] + [0.0, 0.0]
    return places, (parts[0], parts[1])


def spaces(subject: Subject) -> list[str]:
    """What can be embedded: 'maps' where they form a grid, 'features' where the run stored them."""
    reader = subject.run.reader
    has = {
        "maps": subject.modality == "image" and bool(reader.map_widths("image")),
        "features": bool(reader.snapshot.contents.feature_widths),
    }
    return [space for space in SPACES if has[space]]


def points(subject: Subject, space: str) -> Points | None:
    """The embedding of at most 1000 members and as many others; None where fewer than three have vectors."""
    chosen, reader = subject.ask(compared), subject.run.reader
    wanted = np.concatenate([chosen.members, chosen.others[: len(chosen.members)]])
    if space == "maps":
        ids, vectors = queries.maps_of(reader, wanted, subject.target)
        usable = (np.nan_to_num(vectors) > 0).any(axis=1)
        ids, vectors = ids[usable], shares(vectors)
    else:
        ids, vectors = queries.features_of(reader, wanted, subject.target, subject.modality)
        sizes = np.linalg.norm(vectors, axis=1)
        usable = np.isfinite(sizes) & (sizes > 0)
        ids, vectors = ids[usable], vectors[usable] / sizes[usable, None]
    if len(ids) < 3:
        return None
    places, variance = pca(vectors)
    empty = len(wanted) - len(ids)
    note = f"{empty:,} samples have none. " if empty else ""
    member = np.isin(ids, chosen.members)
    return Points(ids, places.astype(np.float32), member, variance, f"{note}{chosen.note}")


def chart(shown: Points, others: str) -> go.Figure:
    """Members as full circles, others as open diamonds; the sample's id is the custom data of a point."""
    figure = go.Figure()
    for is_member, name, symbol, color in (
        (False, others, "diamond-open", OTHER),
        (True, "members", "circle", LABEL),
    ):
        here = shown.member == is_member
        figure.add_scatter(
            x=shown.places[here, 0],  # arrays travel as bytes; a list is looked through number by number
            y=shown.places[here, 1],
            mode="markers",
            name=f"{plain(name, 40)} ({int(here.sum()):,})",
            marker={"size": 7, "symbol": symbol, "color": color, "opacity": 0.75},
            customdata=shown.ids[here],
            hovertemplate="sample %{customdata}<extra></extra>",
        )
    first, second = shown.variance
    figure.update_xaxes(title=f"first component, {first:.0%} of the variance", zeroline=False, showticklabels=False)
    figure.update_yaxes(title=f"second, {second:.0%}", zeroline=False, showticklabels=False)
    figure.update_layout(
        height=430,
        margin={"l": 10, "r": 10, "t": 40, "b": 10},
        dragmode="lasso",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": None, "traceorder": "reversed"},
    )
    return figure


def selected(event: Any) -> list[int]:
    """Ids of the points that a box or a lasso of the chart holds, in their order."""
    selection = event.get("selection", {}) if isinstance(event, Mapping) else {}
    found: Sequence[Mapping[str, Any]] = selection.get("points") or []
    ids: list[int] = []
    for point in found:
        data = point.get("customdata")
        value = (
            data[0] if isinstance(data, list | tuple) and data else data.get("0") if isinstance(data, dict) else data
        )
        if isinstance(value, int | float):
            ids.append(int(value))
    return list(dict.fromkeys(ids))
