"""The six things that can be the subject of a demo scene. Each painter draws one, standing on its foot point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import pi, sin

import numpy as np

from jobs.demo.brush import Brush
from jobs.demo.palette import LIT, PAINTS, Colour, shade

GLASS: Colour = (116, 146, 168)
Painter = Callable[[Brush, np.random.Generator, Colour, bool], None]


@dataclass(frozen=True)
class Kind:
    """One look of a class: the noun of its caption, its plural, its painter, its paints and its height factor."""

    noun: str
    plural: str
    paint: Painter
    colours: tuple[str, ...]
    height: float
    width: float
    chance: float = 1.0


def _windows(brush: Brush, rng: np.random.Generator, xs: list[float], y: float, size: float, dark: bool) -> None:
    """A row of framed windows; at night some are lit."""
    for x in xs:
        brush.box(x - size * 0.62, y - size * 0.72, x + size * 0.62, y + size * 0.72, (240, 238, 230))
        pane = LIT if dark and rng.random() < 0.7 else shade(GLASS, 0.55 if dark else 0.9)
        brush.box(x - size * 0.46, y - size * 0.56, x + size * 0.46, y + size * 0.56, pane)
        brush.line(x, y - size * 0.56, x, y + size * 0.56, size * 0.1, (240, 238, 230))


def _hull(brush: Brush, colour: Colour, left: float, right: float, top: float) -> None:
    """A boat's hull with a light rim and a dark waterline."""
    brush.polygon(((left, top), (right, top + 0.03), (right * 0.72, 0), (left * 0.8, 0)), colour)
    brush.polygon(
        ((left, top), (right, top + 0.03), (right * 0.96, top - 0.03), (left * 0.98, top - 0.05)), shade(colour, 1.5)
    )
    brush.polygon(((left * 0.86, 0.05), (right * 0.8, 0.05), (right * 0.72, 0), (left * 0.8, 0)), shade(colour, 0.6))


def sailing_boat(brush: Brush, rng: np.random.Generator, colour: Colour, dark: bool) -> None:
    """Hull, mast and two sails."""
    sail = shade(PAINTS["white"], float(rng.uniform(0.9, 1.0))) if rng.random() < 0.6 else shade(colour, 1.25)
    belly = float(rng.uniform(0.04, 0.12))
    brush.line(0.0, 0.1, 0.0, 0.98, 0.022, (96, 74, 56))
    brush.polygon(((0.03, 0.24), (0.03, 0.96), (0.18 + belly, 0.6), (0.4, 0.26)), sail)
    brush.polygon(((-0.03, 0.24), (-0.03, 0.86), (-0.14 - belly / 2, 0.5), (-0.3, 0.26)), shade(sail, 0.88))
    _hull(brush, colour, -0.42, 0.48, 0.2)


def fishing_boat(brush: Brush, rng: np.random.Generator, colour: Colour, dark: bool) -> None:
    """Hull with a cabin, windows and a short mast."""
    cabin = shade(PAINTS["white"], 0.96)
    brush.line(0.2, 0.4, 0.2, 0.98, 0.03, (90, 84, 78))
    brush.line(0.2, 0.9, 0.62, 0.4, 0.014, (90, 84, 78))
    brush.box(-0.42, 0.3, 0.14, 0.74, cabin)
    brush.box(-0.47, 0.72, 0.19, 0.79, shade(colour, 0.8))
    for x in (-0.28, 0.0):
        brush.box(x - 0.1, 0.5, x + 0.08, 0.66, LIT if dark else GLASS)
    _hull(brush, colour, -0.8, 0.92, 0.36)


def rowing_boat(brush: Brush, rng: np.random.Generator, colour: Colour, dark: bool) -> None:
    """A low open hull with a bench and two oars."""
    brush.line(-0.2, 0.62, 0.7, 0.98, 0.05, (160, 124, 84))
    brush.line(0.2, 0.62, -0.8, 0.94, 0.05, (140, 106, 72))
    _hull(brush, colour, -1.3, 1.36, 0.68)
    brush.polygon(((-1.2, 0.66), (1.24, 0.7), (1.0, 0.6), (-1.02, 0.57)), shade(colour, 0.5))


def _wheels(brush: Brush, xs: tuple[float, ...], radius: float) -> None:
    for x in xs:
        brush.oval(x, radius, radius, radius, (38, 38, 42))
        brush.oval(x, radius, radius * 0.55, radius * 0.55, (176, 178, 184))
        brush.oval(x, radius, radius * 0.2, radius * 0.2, (90, 92, 98))


def _lamps(brush: Brush, front: float, back: float, y: float, dark: bool) -> None:
    brush.oval(front, y, 0.06, 0.07, LIT if dark else (250, 244, 214))
    brush.oval(back, y, 0.045, 0.07, (206, 44, 40))


def small_car(brush: Brush, rng: np.random.Generator, colour: Colour, dark: bool) -> None:
    """A hatchback, seen from the side."""
    top = float(rng.uniform(0.9, 1.0))
    glass = LIT if dark and rng.random() < 0.3 else shade(GLASS, 0.6 if dark else 1.0)
    brush.polygon(
        (
            (-0.95, 0.2),
            (1.02, 0.2),
            (1.04, 0.44),
            (0.86, 0.56),
            (0.5, 0.6),
            (0.2, top),
            (-0.5, top),
            (-0.84, 0.62),
            (-0.98, 0.56),
        ),
        colour,
    )
    brush.polygon(((0.4, 0.6), (0.14, top - 0.07), (-0.1, top - 0.07), (-0.1, 0.6)), glass)
    brush.polygon(((-0.16, 0.6), (-0.16, top - 0.07), (-0.46, top - 0.07), (-0.72, 0.6)), shade(glass, 0.9))
    brush.box(-0.95, 0.18, 1.02, 0.27, shade(colour, 0.65))
    brush.box(-0.12, 0.3, -0.1, 0.58, shade(colour, 0.75))
    _lamps(brush, 0.96, -0.93, 0.46, dark)
    _wheels(brush, (-0.58, 0.62), 0.21)


def van(brush: Brush, rng: np.random.Generator, colour: Colour, dark: bool) -> None:
    """A camper van with two paints."""
    glass = shade(GLASS, 0.6 if dark else 1.0)
    brush.polygon(
        ((-0.86, 0.16), (0.88, 0.16), (0.9, 0.5), (0.74, 0.94), (0.66, 1.0), (-0.8, 1.0), (-0.88, 0.92)), colour
    )
    brush.polygon(
        ((-0.87, 0.56), (0.86, 0.56), (0.74, 0.94), (0.66, 1.0), (-0.8, 1.0), (-0.88, 0.92)),
        shade(PAINTS["white"], 0.96),
    )
    for x in (-0.7, -0.3, 0.1):
        brush.box(x, 0.62, x + 0.32, 0.88, LIT if dark and rng.random() < 0.5 else glass)
    brush.polygon(((0.5, 0.62), (0.82, 0.62), (0.71, 0.88), (0.5, 0.88)), glass)
    brush.box(-0.86, 0.14, 0.88, 0.21, shade(colour, 0.6))
    _lamps(brush, 0.84, -0.83, 0.38, dark)
    _wheels(brush, (-0.5, 0.52), 0.18)


def pickup(brush: Brush, rng: np.random.Generator, colour: Colour, dark: bool) -> None:
    """A pickup truck with an open bed."""
    glass = shade(GLASS, 0.6 if dark else 1.0)
    brush.polygon(
        (
            (-1.12, 0.24),
            (1.14, 0.24),
            (1.16, 0.5),
            (0.66, 0.6),
            (0.42, 0.98),
            (-0.14, 0.98),
            (-0.18, 0.6),
            (-1.14, 0.6),
        ),
        colour,
    )
    brush.polygon(((0.54, 0.6), (0.35, 0.9), (-0.06, 0.9), (-0.08, 0.6)), glass)
    brush.box(-1.12, 0.2, 1.14, 0.3, shade(colour, 0.6))
    brush.box(-1.1, 0.55, -0.24, 0.6, shade(colour, 0.5))
    _lamps(brush, 1.08, -1.09, 0.46, dark)
    _wheels(brush, (-0.68, 0.72), 0.23)


def cottage(brush: Brush, rng: np.random.Generator, colour: Colour, dark: bool) -> None:
    """A house with a gable roof, seen from the front."""
    roof = shade((150, 76, 58) if rng.random() < 0.6 else (84, 88, 100), float(rng.uniform(0.85, 1.1)))
    half, eaves = float(rng.uniform(0.42, 0.6)), 0.55
    brush.box(half * 0.42, 0.7, half * 0.64, 1.0, shade(roof, 0.75))
    brush.box(-half, 0, half, eaves, colour)
    brush.box(-half, 0, half, 0.05, shade(colour, 0.7))
    brush.polygon(((-half - 0.08, eaves), (0, 0.98), (half + 0.08, eaves)), roof)
    brush.polygon(((-half + 0.1, eaves), (0, 0.86), (half - 0.1, eaves)), shade(colour, 0.92))
    _windows(brush, rng, [0.0], 0.66, 0.09, dark)
    door = float(rng.choice([-0.5, 0.0, 0.5])) * half
    brush.box(door - 0.08, 0, door + 0.08, 0.32, shade(roof, 0.6))
    xs = [x for x in (-half * 0.6, 0.0, half * 0.6) if abs(x - door) > 0.2]
    _windows(brush, rng, xs, 0.3, 0.1, dark)


def long_house(brush: Brush, rng: np.random.Generator, colour: Colour, dark: bool) -> None:
    """A house seen from its long side, with a broad tiled roof."""
    roof = shade((168, 92, 62) if rng.random() < 0.6 else (92, 92, 104), float(rng.uniform(0.85, 1.1)))
    brush.box(0.42, 0.72, 0.56, 1.0, shade(roof, 0.7))
    brush.box(-0.8, 0, 0.8, 0.55, colour)
    brush.polygon(((-0.92, 0.52), (-0.68, 0.92), (0.68, 0.92), (0.92, 0.52)), roof)
    for y in (0.62, 0.72, 0.82):
        brush.line(-0.86 + (y - 0.52) * 0.6, y, 0.86 - (y - 0.52) * 0.6, y, 0.014, shade(roof, 0.8))
    brush.box(-0.09, 0, 0.09, 0.36, shade(roof, 0.55))
    _windows(brush, rng, [-0.56, -0.28, 0.3, 0.58], 0.3, 0.1, dark)


def town_house(brush: Brush, rng: np.random.Generator, colour: Colour, dark: bool) -> None:
    """A narrow house of three storeys with a stepped roof."""
    roof = shade((120, 70, 60), float(rng.uniform(0.8, 1.2)))
    brush.box(-0.26, 0, 0.26, 0.78, colour)
    brush.polygon(((-0.31, 0.77), (-0.2, 0.9), (0, 1.0), (0.2, 0.9), (0.31, 0.77)), roof)
    brush.box(-0.07, 0, 0.07, 0.17, shade(roof, 0.6))
    for y in (0.3, 0.47, 0.65):
        _windows(brush, rng, [-0.14, 0.14], y, 0.055, dark)


def _halo(brush: Brush, x: float, y: float, radius: float, dark: bool) -> None:
    """The bulb: warm when lit."""
    brush.oval(x, y, radius, radius, LIT if dark else (246, 240, 216))


def lantern(brush: Brush, rng: np.random.Generator, colour: Colour, dark: bool) -> None:
    """A street lamp with one lantern on top of a post."""
    brush.polygon(((-0.07, 0), (0.07, 0), (0.035, 0.1), (-0.035, 0.1)), colour)
    brush.line(0, 0.05, 0, 0.76, 0.038, colour)
    brush.line(-0.08, 0.74, 0.08, 0.74, 0.025, colour)
    brush.polygon(((-0.06, 0.76), (0.06, 0.76), (0.1, 0.92), (-0.1, 0.92)), LIT if dark else (244, 238, 214))
    brush.polygon(((-0.125, 0.91), (0.125, 0.91), (0, 1.0)), shade(colour, 0.85))
    brush.line(0, 0.76, 0, 0.92, 0.014, colour)


def arm_lamp(brush: Brush, rng: np.random.Generator, colour: Colour, dark: bool) -> None:
    """A street lamp with a curved arm."""
    brush.box(-0.055, 0, 0.055, 0.12, colour)
    brush.line(0, 0, 0, 0.88, 0.035, colour)
    bend = [(0.26 * k / 6, 0.88 + 0.1 * sin(pi * k / 12)) for k in range(7)]
    for (x0, y0), (x1, y1) in pairwise(bend):
        brush.line(x0, y0, x1, y1, 0.032, colour)
    _halo(brush, 0.3, 0.93, 0.045, dark)
    brush.polygon(((0.2, 0.95), (0.4, 0.95), (0.34, 1.0), (0.26, 1.0)), colour)


def twin_lamp(brush: Brush, rng: np.random.Generator, colour: Colour, dark: bool) -> None:
    """A street lamp with two round globes."""
    brush.polygon(((-0.08, 0), (0.08, 0), (0.03, 0.12), (-0.03, 0.12)), colour)
    brush.line(0, 0, 0, 0.9, 0.036, colour)
    brush.line(-0.2, 0.8, 0.2, 0.8, 0.03, colour)
    for x in (-0.2, 0.2):
        brush.line(x, 0.79, x, 0.86, 0.03, colour)
        brush.oval(x, 0.92, 0.085, 0.085, LIT if dark else (246, 242, 226))
    brush.oval(0, 0.92, 0.03, 0.05, colour)


def sheep(brush: Brush, rng: np.random.Generator, colour: Colour, dark: bool) -> None:
    """A woolly body of puffs, four legs and a head."""
    skin = shade((70, 62, 58), float(rng.uniform(0.7, 1.1)))
    for x in (-0.34, -0.18, 0.16, 0.32):
        brush.line(x, 0, x, 0.4, 0.08, shade(skin, 0.85))
    brush.oval(-0.03, 0.52, 0.5, 0.28, shade(colour, 0.9))
    for k in range(11):
        x = -0.45 + 0.86 * k / 10
        brush.oval(
            x,
            0.56 + 0.2 * sin(pi * k / 10) + float(rng.uniform(-0.02, 0.02)),
            0.15,
            0.14,
            shade(colour, float(rng.uniform(0.94, 1.04))),
        )
    for k in range(6):
        brush.oval(-0.36 + 0.13 * k, 0.36 + float(rng.uniform(0, 0.05)), 0.13, 0.1, shade(colour, 0.84))
    nod = float(rng.choice([-0.2, 0.0, 0.06]))
    brush.oval(0.56, 0.68 + nod, 0.16, 0.13, skin)
    brush.oval(0.66, 0.62 + nod, 0.1, 0.09, skin)
    brush.oval(0.44, 0.74 + nod, 0.09, 0.04, shade(skin, 0.8))
    brush.oval(0.5, 0.82 + nod, 0.13, 0.08, colour)
    brush.oval(0.6, 0.71 + nod, 0.02, 0.02, (240, 240, 236))


def leafy_tree(brush: Brush, rng: np.random.Generator, colour: Colour, dark: bool) -> None:
    """A trunk under a crown of leaf clusters."""
    trunk = shade((104, 78, 56), float(rng.uniform(0.8, 1.1)))
    brush.polygon(((-0.075, 0), (0.075, 0), (0.04, 0.5), (-0.04, 0.5)), trunk)
    brush.line(0.01, 0.36, 0.18, 0.56, 0.035, trunk)
    brush.line(-0.01, 0.32, -0.16, 0.52, 0.03, trunk)
    spread = float(rng.uniform(0.24, 0.36))
    for tone, lift, count in ((0.72, -0.05, 7), (0.9, 0.0, 9), (1.06, 0.06, 7)):
        for _ in range(count):
            x, y = rng.normal(0, spread * 0.55), 0.66 + lift + rng.normal(0, 0.085)
            x, y = float(np.clip(x, -spread, spread)), float(np.clip(y, 0.46, 0.86))
            brush.oval(x, y, float(rng.uniform(0.09, 0.15)), float(rng.uniform(0.08, 0.13)), shade(colour, tone), 12)


def pine(brush: Brush, rng: np.random.Generator, colour: Colour, dark: bool) -> None:
    """Three to five tiers of branches."""
    brush.box(-0.04, 0, 0.04, 0.2, (96, 72, 54))
    tiers, half = int(rng.integers(3, 6)), float(rng.uniform(0.24, 0.34))
    for k in range(tiers):
        low, width = 0.13 + 0.66 * k / tiers, half * (1 - 0.62 * k / tiers)
        high = min(low + 0.4, 1.0) if k < tiers - 1 else 1.0
        brush.polygon(((-width, low), (0, low + 0.05), (width, low), (0, high)), shade(colour, 0.72 + 0.1 * k))


def poplar(brush: Brush, rng: np.random.Generator, colour: Colour, dark: bool) -> None:
    """A slender crown like a flame."""
    brush.box(-0.03, 0, 0.03, 0.2, (100, 76, 56))
    brush.oval(0, 0.56, 0.15, 0.43, shade(colour, 0.8), 30)
    for _ in range(16):
        y = float(rng.uniform(0.25, 0.9))
        x = float(rng.uniform(-0.1, 0.1)) * (1 - abs(y - 0.5))
        brush.oval(x, y, 0.055, 0.09, shade(colour, float(rng.uniform(0.85, 1.12))), 10)


def palm(brush: Brush, rng: np.random.Generator, colour: Colour, dark: bool) -> None:
    """A bent trunk with fronds."""
    lean = float(rng.uniform(-0.16, 0.16))
    trunk = (146, 112, 78)
    for k in range(8):
        y0, y1 = 0.76 * k / 8, 0.76 * (k + 1) / 8
        brush.line(
            lean * (y0 / 0.76) ** 2,
            y0,
            lean * (y1 / 0.76) ** 2,
            y1 + 0.01,
            0.065 - 0.003 * k,
            shade(trunk, 1.0 if k % 2 else 0.86),
        )
    for k, (dx, dy) in enumerate(
        (
            (-0.36, 0.0),
            (-0.28, 0.16),
            (-0.1, 0.24),
            (0.12, 0.24),
            (0.3, 0.15),
            (0.37, -0.01),
            (-0.26, -0.14),
            (0.27, -0.15),
        )
    ):
        tip, mid = (lean + dx, 0.76 + dy), (lean + dx * 0.55, 0.79 + dy * 0.9 + 0.05)
        brush.polygon(((lean, 0.75), mid, tip, (mid[0], mid[1] - 0.08)), shade(colour, 0.8 + 0.06 * (k % 4)))


_BOATS = ("red", "blue", "green", "white", "orange", "yellow", "black")
_CARS = ("red", "blue", "yellow", "green", "white", "orange", "black", "purple", "grey")
_WALLS = ("white", "red", "yellow", "blue", "brown", "orange", "grey")
_POSTS = ("black", "green", "grey", "blue")
_LEAVES = ("green", "green", "green", "yellow", "orange", "red")

KINDS: dict[str, tuple[Kind, ...]] = {
    "boat": (
        Kind("sailing boat", "sailing boats", sailing_boat, _BOATS, 1.0, 0.9, 0.45),
        Kind("fishing boat", "fishing boats", fishing_boat, _BOATS, 0.62, 1.7, 0.35),
        Kind("rowing boat", "rowing boats", rowing_boat, _BOATS, 0.32, 2.7, 0.2),
    ),
    "car": (
        Kind("car", "cars", small_car, _CARS, 0.46, 2.0, 0.5),
        Kind("van", "vans", van, _CARS, 0.56, 1.8, 0.25),
        Kind("pickup truck", "pickup trucks", pickup, _CARS, 0.44, 2.3, 0.25),
    ),
    "house": (
        Kind("cottage", "cottages", cottage, _WALLS, 0.8, 1.2, 0.4),
        Kind("house", "houses", long_house, _WALLS, 0.62, 1.8, 0.35),
        Kind("town house", "town houses", town_house, _WALLS, 1.15, 0.6, 0.25),
    ),
    "lamp": (
        Kind("street lamp", "street lamps", lantern, _POSTS, 1.1, 0.25, 0.4),
        Kind("street lamp", "street lamps", arm_lamp, _POSTS, 1.2, 0.6, 0.3),
        Kind("lamp post", "lamp posts", twin_lamp, _POSTS, 1.1, 0.55, 0.3),
    ),
    "sheep": (Kind("sheep", "sheep", sheep, ("white", "white", "white", "brown", "black"), 0.46, 1.2),),
    "tree": (
        Kind("tree", "trees", leafy_tree, _LEAVES, 1.0, 0.75, 0.45),
        Kind("pine tree", "pine trees", pine, ("green",), 1.1, 0.65, 0.25),
        Kind("poplar", "poplars", poplar, ("green", "yellow"), 1.2, 0.32, 0.15),
        Kind("palm tree", "palm trees", palm, ("green",), 1.0, 0.8, 0.15),
    ),
}
CLASSES: tuple[str, ...] = tuple(KINDS)
