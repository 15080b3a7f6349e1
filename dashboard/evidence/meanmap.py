"""Where the model looks in the members, in the other samples of the class, and the difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import colormaps, looks, overlays, state
from dashboard.colormaps import Scale
from dashboard.evidence import heat
from dashboard.evidence.compared import compared, others_name
from dashboard.evidence.heat import Panel
from dashboard.evidence.subject import Subject
from storage.queries import members as queries

Floats = NDArray[np.floating]
# Purple to orange: the order and the sides stay apart for colour-blind people (ColorBrewer's PuOr; Apache licence)
LESS, MORE = ("#2d004b", "#542788", "#8073ac", "#b2abd2"), ("#fdb863", "#e08214", "#b35806", "#7f3b08")
LESS_DARK, MORE_DARK = ("#d8daeb", "#b2abd2", "#8073ac", "#54428e"), ("#8f4a0a", "#c9700f", "#f29b3a", "#fee0b6")
MIDDLE = {"light": "#f4f4f4", "dark": "#20262d"}


@dataclass(frozen=True)
class MeanMaps:
    """Mean share of the relevancy in each cell [h, w] of n members and of other samples; each map counts alike."""

    members: Floats
    others: Floats
    n_members: int
    n_others: int
    note: str = ""

    @property
    def difference(self) -> Floats:
        """How much more of the relevancy lies in each cell of the members."""
        return self.members - self.others


def shares(maps: Floats) -> Floats:
    """Maps [n, cells] as shares of their sum; what speaks against the score counts as none, empty maps are left out."""
    positive = np.clip(np.nan_to_num(np.asarray(maps, dtype=np.float64)), 0, None)
    sums = positive.sum(axis=1)
    return positive[sums > 0] / sums[sums > 0, None]


def mean_maps(subject: Subject) -> MeanMaps | None:
    """The maps of at most 1000 members and others; None where maps form no common grid."""
    chosen, reader = subject.ask(compared), subject.run.reader
    if subject.modality != "image" or not reader.map_widths("image"):
        return None
    members, others = (
        shares(queries.maps_of(reader, ids, subject.target)[1]) for ids in (chosen.members, chosen.others)
    )
    if not len(members) or not len(others):
        return None
    shape = overlays.grid_shape(members.shape[1], subject.run.grid)
    if shape is None:
        return None
    empty = len(chosen.members) - len(members)
    note = f"{empty:,} members have an empty map and do not count. " if empty else ""
    return MeanMaps(
        members.mean(axis=0).reshape(shape),
        others.mean(axis=0).reshape(shape),
        len(members),
        len(others),
        f"{note}{chosen.note}",
    )


def diverging(ground: str) -> Scale:
    """A colour scale whose middle is the ground, 'light' or 'dark'."""
    less, more = (LESS, MORE) if ground == "light" else (LESS_DARK, MORE_DARK)
    colors = [*less, MIDDLE[ground], *more]
    return [(i / (len(colors) - 1), color) for i, color in enumerate(colors)]


def strongest(values: Floats) -> str:
    """The cell with the highest value, for who cannot see the map."""
    row, column = np.unravel_index(int(np.argmax(values)), values.shape)
    return f"most in row {row + 1} of {values.shape[0]}, column {column + 1} of {values.shape[1]}"


def draw(subject: Subject) -> None:
    """Three maps side by side."""
    if subject.modality != "image":
        return
    st.subheader("Where the model looks")
    found = subject.ask(mean_maps)
    if found is None:
        st.caption(
            "There is no mean map: the maps of this run form no common grid, or there is nothing to compare with."
        )
        return
    scale = colormaps.scale(state.current().look.colormap)
    top = float(max(found.members.max(), found.others.max()))
    most = float(np.abs(found.difference).max()) or 1e-9
    rest = others_name(subject)
    panels = (
        Panel(f"Members ({found.n_members:,})", found.members, scale, 0.0, top, "mean"),
        Panel(f"{rest[:1].upper()}{rest[1:]} ({found.n_others:,})", found.others, scale, 0.0, top, "mean"),
        Panel("Difference", found.difference, diverging(looks.theme()), -most, most, "more than others"),
    )
    spoken = "; ".join(f"{panel.title}: {strongest(panel.values)}" for panel in panels)
    st.html(heat.drawn(panels, f"Mean maps. {spoken}"))
    st.caption(
        f"Mean share of a picture's relevancy in each cell; every picture counts alike. Difference: orange where "
        f"members draw more, purple where they draw less. {found.note}".rstrip()
    )
