"""The five things to be found: outlines, and textures that fill them."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin

import numpy as np

from jobs.demo.brush import Brush, Point
from jobs.demo.palette import Colour

CLASSES = ("cross", "disc", "square", "star", "triangle")
Pattern = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]


def _turned(corners: int, outer: float, inner: float | None = None) -> tuple[Point, ...]:
    """A regular polygon whose first corner is on top; with `inner`, a star."""
    radii = (outer,) if inner is None else (outer, inner)
    count = corners * len(radii)
    turns = [(radii[k % len(radii)], pi / 2 + 2 * pi * k / count) for k in range(count)]
    return tuple((r * cos(a), r * sin(a)) for r, a in turns)


def _plus(arm: float, half: float) -> tuple[Point, ...]:
    """A plus sign of arm length `arm` and half width `half`."""
    points = [(half, half), (half, arm), (-half, arm)]
    for _ in range(3):
        points.extend((-y, x) for x, y in points[-3:])
    return tuple(points)


OUTLINES: dict[str, tuple[Point, ...]] = {
    "cross": _plus(1.0, 0.32),
    "disc": _turned(36, 0.92),
    "square": ((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)),
    "star": _turned(5, 1.08, 0.46),
    "triangle": _turned(3, 1.1),
}
"""Corners in object coordinates: centre (0, 0), y upwards, about 1 from centre to edge."""


def draw(brush: Brush, name: str, colour: Colour) -> None:
    """Draw a shape flat on the brush's picture and on its mask."""
    brush.polygon(OUTLINES[name], colour)


def _stripes(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    angle, width = rng.uniform(0, pi), rng.uniform(9, 20)
    return (np.floor((x * cos(angle) + y * sin(angle)) / width) % 2).astype(bool)


def _checks(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _stripes(rng, x, y) ^ _stripes(rng, x, y)


def _dots(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    step = rng.uniform(22, 36)
    return (x % step - step / 2) ** 2 + (y % step - step / 2) ** 2 < (0.3 * step) ** 2


def _plain(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.zeros(np.broadcast_shapes(x.shape, y.shape), bool)


PATTERNS: dict[str, Pattern] = {"checks": _checks, "dots": _dots, "plain": _plain, "stripes": _stripes}
"""Which canvas pixels of a shape get its second colour: columns x [1,W] and rows y [H,1] to bool [H,W]."""
