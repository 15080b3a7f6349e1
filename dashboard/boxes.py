"""Painters of boxes: region maps (one value per box), and the box of a detection. Pure functions.

Boxes are x0, y0, x1, y1 as fractions of the upright picture's width and height.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

STRONGEST, STRONGEST_ON_TILES = 5, 3  # regions that are outlined and numbered
TILE_SIDE, TILE_FONT = 400, 26  # pixels: up to this side a picture is a tile, shown at about half its size
WHITE, BLACK = (255, 255, 255), (0, 0, 0)

Floats = NDArray[np.floating]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class RegionMap:
    """Relevancy per region: ``boxes`` [K, 4], ``values`` [K], raw."""

    boxes: Floats
    values: Floats

    @property
    def order(self) -> NDArray[np.intp]:
        """Positions of the regions, most relevant first."""
        return np.argsort(-np.nan_to_num(self.values), kind="stable")

    def strongest(self, most: int = STRONGEST) -> list[int]:
        """The most relevant regions with positive relevancy, at most ``most``."""
        return [int(i) for i in self.order[:most] if self.values[i] > 0]


def is_tile(size: tuple[int, int]) -> bool:
    """Whether a picture is shown small, where little can be read."""
    return max(size) <= TILE_SIDE


def pixels(box: Floats | Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom (exclusive) of a box on a picture of ``size``, at least one pixel wide and high."""
    width, height = size
    x0, y0, x1, y1 = (float(v) for v in box)
    left, top = (min(max(round(v), 0), most - 1) for v, most in ((x0 * width, width), (y0 * height, height)))
    right, bottom = min(max(round(x1 * width), left + 1), width), min(max(round(y1 * height), top + 1), height)
    return left, top, right, bottom


def owners(regions: RegionMap, size: tuple[int, int]) -> NDArray[np.intp]:
    """The most relevant region over each pixel of a picture, [height, width]; -1 where there is none."""
    found = np.full((size[1], size[0]), -1, dtype=np.intp)
    for i in regions.order[::-1]:
        left, top, right, bottom = pixels(regions.boxes[i], size)
        found[top:bottom, left:right] = i
    return found


def outline(picture: Image.Image, box: Floats | Box, label: str = "") -> Image.Image:
    """The picture with a box in white on black, which shows on every ground, and a label in its corner."""
    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    thick = max(2, round(min(picture.size) / 300))
    edge = max(1, thick // 2)
    left, top, right, bottom = pixels(box, picture.size)
    edges = (left, top, right - 1, bottom - 1)
    pen.rectangle(edges, outline=BLACK, width=thick + 2 * edge)
    inner = tuple(v + s * edge for v, s in zip(edges, (1, 1, -1, -1), strict=True))
    if inner[2] > inner[0] and inner[3] > inner[1]:
        pen.rectangle(inner, outline=WHITE, width=thick)
    if label:
        _tag(pen, label, (left, top), picture.size)
    return drawn


def _tag(pen: ImageDraw.ImageDraw, label: str, corner: tuple[int, int], size: tuple[int, int]) -> None:
    """A label on a black ground that stays inside the picture."""
    font_size = TILE_FONT if is_tile(size) else max(11, min(size) // 26)
    x0, y0, x1, y1 = pen.textbbox((0, 0), label, font_size=font_size)
    wide, high = x1 - x0 + font_size * 0.7, y1 - y0 + font_size * 0.5
    left, top = min(corner[0], size[0] - wide), min(corner[1], size[1] - high)
    pen.rectangle((left, top, left + wide, top + high), fill=BLACK)
    pen.text((left + wide / 2, top + high / 2), label, fill=WHITE, anchor="mm", font_size=font_size)
