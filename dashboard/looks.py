"""The controls of the look (picture, overlay or map; opacity; colour map) and the legend they need."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from dashboard import colormaps, overlays, state
from dashboard.data import Row
from dashboard.pictures import draw_picture
from dashboard.tiles import view_of

MODES = {"overlay": "Overlay", "original": "Original", "map": "Map"}


def theme() -> str:
    """The ground of pictures: 'light' or 'dark'."""
    return "dark" if st.context.theme.type == "dark" else "light"


def controls() -> None:
    """Mode, opacity and colour map; the same on every page that shows maps."""
    look = state.current().look
    st.segmented_control(
        "Show",
        list(MODES),
        required=True,
        format_func=MODES.__getitem__,
        **state.control("look_mode", look.mode, lambda v: state.change_look(mode=v)),
    )
    st.slider(
        "Opacity",
        0,
        100,
        step=5,
        format="%d%%",
        width=170,
        disabled=look.mode != "overlay",
        **state.control("look_opacity", look.opacity, lambda v: state.change_look(opacity=v)),
    )
    colors(disabled=look.mode == "original")


def colors(*, disabled: bool = False) -> None:
    """The colour map alone: all that matters where there are only words."""
    look = state.current().look
    st.selectbox(
        "Colours",
        colormaps.NAMES,
        format_func=str.capitalize,
        width=130,
        disabled=disabled,
        **state.control("look_colors", look.colormap, lambda v: state.change_look(colormap=v)),
    )


def legend(rows: Sequence[Row]) -> None:
    """What the colours mean, in words, and that dimmed areas were never seen by the model."""
    look = state.current().look
    if look.mode == "original":
        return
    cropped = any(view_of(row)[:2] > (0.0, 0.0) or view_of(row)[2:] < (1.0, 1.0) for row in rows)
    regions = any(isinstance(row.get("regions"), list) and row["regions"] for row in rows)
    words = f"least to most relevant {'region' if regions else 'token'} of each picture"
    if regions:
        words += "; the strongest are numbered; faded: no region there"
    elif cropped:
        words += "; grey: cropped away, never seen by the model"
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        draw_picture(_bar(look.colormap), width=150, alt=f"Colour scale {look.colormap} from least to most relevant")
        st.caption(words, width="content")


@st.cache_data(show_spinner=False, max_entries=8)
def _bar(colormap: str) -> bytes:
    values = np.tile(np.linspace(0, 1, 320), (18, 1))
    return overlays.encode(overlays.Image.fromarray(colormaps.paint(values, colormap)))
