"""A brush that paints shapes given in an object's own coordinates, in the light of the scene."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import cos, pi, sin

from PIL import ImageDraw

from jobs.demo.palette import LIT, Colour, Light

Point = tuple[float, float]


@dataclass(frozen=True)
class Brush:
    """Paints on the picture and, where one is given, on the object's mask at once.

    Object coordinates: x to the right from the foot point, y upwards from the ground, unit = `unit` canvas pixels.
    `foot` is in canvas pixels; `mirror` is 1 or -1; `tilt` turns around the foot, in radians; `haze` (0..1) fades
    far things into the colour of the horizon.
    """

    picture: ImageDraw.ImageDraw
    light: Light
    foot: Point
    unit: float
    mask: ImageDraw.ImageDraw | None = None
    mirror: int = 1
    tilt: float = 0.0
    haze: float = 0.0

    def place(self, x: float, y: float) -> Point:
        """Canvas position of a point in object coordinates."""
        c, s = cos(self.tilt), sin(self.tilt)
        turned_x, turned_y = x * c - y * s, x * s + y * c
        return self.foot[0] + self.mirror * turned_x * self.unit, self.foot[1] - turned_y * self.unit

    def polygon(self, points: Iterable[Point], colour: Colour) -> None:
        """A filled polygon; lit panes and bulbs keep their colour in any light."""
        corners = [self.place(x, y) for x, y in points]
        self.picture.polygon(corners, fill=colour if colour == LIT else self.light.on(colour, self.haze))
        if self.mask is not None:
            self.mask.polygon(corners, fill=255)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """A filled rectangle from (x0, y0) to (x1, y1)."""
        self.polygon(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), colour)

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour, corners: int = 22) -> None:
        """A filled ellipse around (x, y)."""
        turns = (2 * pi * k / corners for k in range(corners))
        self.polygon(((x + rx * cos(a), y + ry * sin(a)) for a in turns), colour)

    def line(self, x0: float, y0: float, x1: float, y1: float, width: float, colour: Colour) -> None:
        """A straight bar of the given width."""
        dx, dy = x1 - x0, y1 - y0
        length = max((dx * dx + dy * dy) ** 0.5, 1e-9)
        nx, ny = -dy / length * width / 2, dx / length * width / 2
        self.polygon(((x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny)), colour)
