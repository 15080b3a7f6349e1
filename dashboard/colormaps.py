"""Perceptually uniform, colour-blind safe colour maps as small tables.

The anchors are 17 evenly spaced samples of the maps of matplotlib (BSD-compatible licence); between
two anchors the colour is interpolated linearly in sRGB.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Scale = list[tuple[float, str]]
"""Colours '#rrggbb' at places from 0 to 1, in their order."""
ANCHORS = {
    "viridis": "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 28ae80 3fbc73 5ec962 84d44b "
    "addc30 d8e219 fde725",
    "magma": "000004 0a0822 1d1147 36106b 51127c 6a1c81 832681 9c2e7f b73779 d0416f e75263 f56b5c fc8961 fea772 "
    "fec488 fde2a3 fcfdbf",
    "inferno": "000004 0b0724 210c4a 3d0965 57106e 71196e 8a226a a32c61 bc3754 d24644 e45a31 f1731d f98e09 fcac11 "
    "f9cb35 f2ea69 fcffa4",
    "cividis": "00224e 002e6a 1a386f 32436d 434e6c 535a6d 61656f 6f7073 7d7c78 8c8878 9b9476 aba072 bcae6c cdbb63 "
    "dec958 f0d846 fee838",
}
NAMES = tuple(ANCHORS)


@lru_cache(maxsize=8)
def table(name: str) -> NDArray[np.uint8]:
    """The colour map as a [256, 3] table of sRGB bytes. Raises KeyError for an unknown name."""
    return mixed(np.linspace(0, 1, 256), scale(name))


def mixed(places: NDArray[np.floating], colors: Scale) -> NDArray[np.uint8]:
    """The colours of a scale at places in 0..1 (clipped), any shape [...], as sRGB bytes [..., 3]."""
    at = [place for place, _ in colors]
    anchors = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for _, color in colors])
    return np.stack([np.interp(places, at, anchors[:, c]) for c in range(3)], axis=-1).round().astype(np.uint8)


def paint(values: NDArray[np.floating], name: str) -> NDArray[np.uint8]:
    """Colours of values in 0..1 (clipped), any shape [...], as sRGB bytes [..., 3]."""
    index = np.clip(np.nan_to_num(values) * 255, 0, 255).round().astype(np.uint8)
    return table(name)[index]


def hex_color(value: float, name: str) -> str:
    """One colour as '#rrggbb'."""
    red, green, blue = paint(np.array([value]), name)[0]
    return f"#{red:02x}{green:02x}{blue:02x}"


def text_color(background: str) -> str:
    """Black or white, whichever reads better on '#rrggbb' (WCAG relative luminance)."""
    srgb = [int(background[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in srgb]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"


def scale(name: str) -> Scale:
    """The colour map as colours at places from 0 to 1, as plotly and CSS want them."""
    words = ANCHORS[name].split()
    return [(i / (len(words) - 1), f"#{word}") for i, word in enumerate(words)]
