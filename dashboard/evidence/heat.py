"""Maps of cells side by side, each with its scale, as plain HTML: Plotly takes a second for three of them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dashboard import colormaps
from dashboard.colormaps import Scale
from dashboard.selection import clip


@dataclass(frozen=True)
class Panel:
    """A map [h, w] of shares under a title, its colours from the share `low` to `high`, and what a cell's value is."""

    title: str
    values: NDArray[np.floating]
    scale: Scale
    low: float
    high: float
    what: str


def drawn(panels: Sequence[Panel], spoken: str) -> str:
    """The panels; ``spoken`` is for those who do not see them. The pointer over a cell tells its value."""
    inside = "".join(_panel(panel) for panel in panels)
    return (
        f'<div role="img" aria-label="{escape(spoken)}" style="display:grid;gap:.8rem 1.6rem;'
        f'grid-template-columns:repeat({len(panels)},minmax(0,300px))">{inside}</div>'
    )


def _panel(panel: Panel) -> str:
    rows, columns = panel.values.shape
    cells = "".join(
        f'<i title="row {row + 1}, column {column + 1}; {escape(panel.what)}: {panel.values[row, column]:.2%}"></i>'
        for row in range(rows)
        for column in range(columns)
    )
    grid = (
        f"display:grid;grid-template-columns:repeat({columns},1fr);aspect-ratio:{columns}/{rows};border-radius:4px;"
        f"background:url({_pixels(panel)}) 0 0/100% 100%;image-rendering:pixelated"
    )
    return (
        f'<div><div style="font-size:.9rem;margin-bottom:.3rem">{escape(clip(panel.title, 60))}</div>'
        f'<div style="{grid}">{cells}</div>{_legend(panel)}</div>'
    )


def _legend(panel: Panel) -> str:
    colors = ",".join(f"{color} {place:.1%}" for place, color in panel.scale)
    marks = "".join(f"<span>{100 * (panel.low + (panel.high - panel.low) * at):.2g} %</span>" for at in (0.0, 0.5, 1.0))
    bar = f"height:.6rem;margin-top:.5rem;border-radius:3px;background:linear-gradient(90deg,{colors})"
    return (
        f'<div style="{bar}"></div>'
        f'<div style="display:flex;justify-content:space-between;font-size:.75rem;opacity:.8">{marks}</div>'
    )


def _pixels(panel: Panel) -> str:
    """The address of a picture with one pixel per cell."""
    buffer = BytesIO()
    Image.fromarray(painted(panel)).save(buffer, "PNG")
    return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"


def painted(panel: Panel) -> NDArray[np.uint8]:
    """The colour of each cell [h, w, 3]; between two colours of the scale it is mixed linearly in sRGB."""
    return colormaps.mixed((panel.values - panel.low) / ((panel.high - panel.low) or 1.0), panel.scale)
