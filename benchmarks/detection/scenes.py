"""Seeded scenes: one to four textured shapes on a background, with a mask and a box for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.detection.shapes import CLASSES, PATTERNS, draw
from jobs.demo.backdrop import CANVAS, PLACES, Canvas, paint_sky
from jobs.demo.brush import Brush
from jobs.demo.palette import LIGHTS, PAINTS, Colour, jitter, mix, shade

SIZE = CANVAS // 2
"""Side of a finished picture in pixels: the canvas is drawn at twice the size, so that edges come out smooth."""
MOST = 4
BACKGROUNDS = {"plain": 0.2, "gradient": 0.25, "mottled": 0.35, "place": 0.2}
RADIUS = (26.0, 62.0)
"""Smallest and largest half size of a shape, pixels of the finished picture."""
OVERLAP = 0.12
"""Largest share of the smaller shape's square that another may cover."""
TEST_OFFSET = 1_000_000
"""Number of the first test scene of a seed: training never gets there."""


@dataclass(frozen=True)
class Scene:
    """`image` [256,256,3] uint8; `masks` [n,256,256] bool, what is seen of each shape; `labels` [n] into CLASSES.

    `boxes` [n,4] float64 are x0, y0, x1, y1 in pixels around what is seen (x1, y1 exclusive).
    """

    image: np.ndarray
    masks: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    background: str


def box_of(mask: np.ndarray) -> tuple[float, float, float, float]:
    """The smallest box x0, y0, x1, y1 (exclusive) around a mask [H,W] bool that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _background(canvas: Canvas, kind: str) -> Colour:
    """Paint the background; its mean colour."""
    rng = canvas.rng
    names = list(PAINTS)
    first, second = (
        mix(jitter(rng, PAINTS[names[int(rng.integers(len(names)))]], 30), (150, 150, 150), 0.45) for _ in range(2)
    )
    if kind == "place":
        place = list(PLACES.values())[int(rng.integers(len(PLACES)))]
        paint_sky(canvas)
        place.paint(canvas)
    elif kind == "plain":
        canvas.image.paste(first, (0, 0, CANVAS, CANVAS))
    else:
        cells = 2 if kind == "gradient" else int(rng.integers(6, 24))
        field = Image.fromarray(rng.integers(0, 256, (cells, cells)).astype(np.uint8))
        veil = field.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)
        canvas.image.paste(first, (0, 0, CANVAS, CANVAS))
        canvas.image.paste(second, (0, 0, CANVAS, CANVAS), veil)
    red, green, blue = np.asarray(canvas.image.resize((1, 1), Image.Resampling.BOX))[0, 0].tolist()
    return red, green, blue


def _clutter(canvas: Canvas) -> None:
    """A few thin strokes that are no shape."""
    for _ in range(int(canvas.rng.integers(0, 7))):
        ends = [canvas.uniform(0, CANVAS) for _ in range(4)]
        tone = jitter(canvas.rng, PAINTS[str(canvas.rng.choice(list(PAINTS)))], 20)
        canvas.pen.line(ends, fill=tone, width=int(canvas.rng.integers(2, 7)))


def _spots(rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Centre and half size of one to four shapes that hardly overlap, in pixels of the finished picture."""
    wanted, spots = int(rng.integers(1, MOST + 1)), list[tuple[float, float, float]]()
    for _ in range(60):
        if len(spots) == wanted:
            break
        radius = float(rng.uniform(*RADIUS))
        x, y = rng.uniform(radius * 1.1, SIZE - radius * 1.1, 2).tolist()
        if all(_covered((x, y, radius), other) < OVERLAP for other in spots):
            spots.append((x, y, radius))
    return spots


def _covered(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    """Share of the smaller of two squares that lies in the other."""
    sides = [min(a[k] + a[2], b[k] + b[2]) - max(a[k] - a[2], b[k] - b[2]) for k in (0, 1)]
    return max(sides[0], 0.0) * max(sides[1], 0.0) / (4 * min(a[2], b[2]) ** 2)


def _paint(rng: np.random.Generator, behind: Colour) -> Colour:
    """A colour that stands out from the background's mean."""
    while True:
        colour = jitter(rng, PAINTS[str(rng.choice(list(PAINTS)))], 24)
        if np.abs(np.subtract(colour, behind)).sum() > 110:
            return colour


def _place(canvas: Canvas, spot: tuple[float, float, float], name: str, behind: Colour) -> np.ndarray:
    """Paint one shape; what it covers, bool [512,512]."""
    rng, (x, y, radius) = canvas.rng, spot
    colour, layer = _paint(rng, behind), Image.new("L", (CANVAS, CANVAS), 0)
    brush = Brush(
        canvas.pen, canvas.light, (2 * x, 2 * y), 2 * radius, ImageDraw.Draw(layer), tilt=canvas.uniform(-0.4, 0.4)
    )
    draw(brush, name, colour)
    covered = np.asarray(layer) > 0
    pattern = PATTERNS[str(rng.choice(list(PATTERNS)))]
    x0, y0, x1, y1 = (int(edge) for edge in box_of(covered))
    columns, rows = np.arange(x0, x1, dtype=np.float32)[None], np.arange(y0, y1, dtype=np.float32)[:, None]
    second = shade(colour, canvas.uniform(0.45, 0.75) if sum(colour) > 300 else canvas.uniform(1.25, 1.6))
    veil = Image.fromarray((covered[y0:y1, x0:x1] & pattern(rng, columns, rows)).astype(np.uint8) * 255)
    canvas.image.paste(second, (x0, y0), veil)
    return covered


def paint_scene(seed: int, index: int) -> Scene:
    """Paint scene number `index` of a seed. The same numbers give the same pixels."""
    rng = np.random.default_rng((seed, index, 11))
    kind = str(rng.choice(list(BACKGROUNDS), p=list(BACKGROUNDS.values())))
    canvas = Canvas(Image.new("RGB", (CANVAS, CANVAS)), LIGHTS["noon"], rng, float(rng.uniform(0.36, 0.52)))
    behind = _background(canvas, kind)
    _clutter(canvas)
    spots = _spots(rng)
    labels = rng.integers(0, len(CLASSES), len(spots))
    covers = [_place(canvas, spot, CLASSES[k], behind) for spot, k in zip(spots, labels, strict=True)]
    masks = np.stack([np.asarray(Image.fromarray(c.astype(np.uint8) * 255).reduce(2)) > 127 for c in covers])
    for k in range(len(masks)):  # later shapes lie in front
        masks[k] &= ~masks[k + 1 :].any(0)
    image = np.asarray(canvas.image.reduce(2)).astype(np.float32)
    grain = rng.uniform(0, 9) * rng.standard_normal((SIZE, SIZE, 3), np.float32)
    pixels = np.clip(image + grain, 0, 255).astype(np.uint8)
    return Scene(pixels, masks, np.array([box_of(mask) for mask in masks]), labels.astype(np.int64), kind)
