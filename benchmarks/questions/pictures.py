"""Plain pictures of scenes, for people: the models read features only."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from benchmarks.questions.scenes import Thing

SIDE = 224
_SCALE = 3  # drawn larger and made smaller, for smooth edges
_GROUND = (236, 234, 228)
_PAINT = {
    "red": (205, 50, 45), "blue": (45, 95, 200), "green": (50, 150, 75), "yellow": (240, 200, 40),
    "purple": (130, 70, 170), "orange": (240, 130, 35),
}  # fmt: skip


def picture(things: tuple[Thing, ...]) -> Image.Image:
    """The scene as a picture of SIDE x SIDE pixels."""
    image = Image.new("RGB", (SIDE * _SCALE, SIDE * _SCALE), _GROUND)
    pen = ImageDraw.Draw(image)
    for thing in things:
        x0, y0, x1, y1 = (at * SIDE * _SCALE for at in thing.box)
        paint = _PAINT[thing.colour]
        if thing.shape == "circle":
            pen.ellipse((x0, y0, x1, y1), fill=paint)
        elif thing.shape == "square":
            pen.rectangle((x0, y0, x1, y1), fill=paint)
        elif thing.shape == "triangle":
            pen.polygon([(x0, y1), ((x0 + x1) / 2, y0), (x1, y1)], fill=paint)
        else:
            pen.polygon(_star((x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2), fill=paint)
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _star(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """The ten corners of a star with five points."""
    reach = [radius if corner % 2 == 0 else radius * 0.42 for corner in range(10)]
    turns = [math.pi * (corner / 5 - 0.5) for corner in range(10)]
    return [(x + r * math.cos(turn), y + r * math.sin(turn)) for r, turn in zip(reach, turns, strict=True)]
