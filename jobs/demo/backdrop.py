"""Skies and places: everything of a scene that lies behind its subject. Fractions are of the canvas side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sin

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from jobs.demo.palette import LIT, Colour, Light, jitter, mix, shade

CANVAS = 512
"""Side of the drawing canvas in pixels: twice the finished picture, so that edges come out smooth."""


@dataclass
class Canvas:
    """A scene being painted: the picture, its light, its random numbers and where its horizon lies (fraction)."""

    image: Image.Image
    light: Light
    rng: np.random.Generator
    horizon: float

    def __post_init__(self) -> None:
        """Get a pen for the picture."""
        self.pen = ImageDraw.Draw(self.image)

    def uniform(self, low: float, high: float) -> float:
        """A random number in [low, high)."""
        return float(self.rng.uniform(low, high))

    def speckle(self, count: int, top: float, bottom: float, colours: tuple[Colour, ...], size: float) -> None:
        """Flat spots on the ground, smaller towards the horizon; `size` in canvas pixels at the lower edge."""
        for _ in range(count):
            y = top + (bottom - top) * float(self.rng.random()) ** 0.7
            near = 0.3 + 0.7 * (y - self.horizon) / max(1 - self.horizon, 0.1)
            x, radius = self.uniform(0, CANVAS), size * near * self.uniform(0.5, 1.2)
            colour = self.light.on(colours[int(self.rng.integers(len(colours)))])
            self.pen.ellipse(
                (x - radius, y * CANVAS - radius * 0.5, x + radius, y * CANVAS + radius * 0.5), fill=colour
            )

    def tufts(self, count: int, top: float, bottom: float, colour: Colour) -> None:
        """Tufts of grass."""
        for _ in range(count):
            y = self.uniform(top, bottom) * CANVAS
            x, tall = self.uniform(0, CANVAS), (y / CANVAS - self.horizon) * self.uniform(14, 34) + 2
            tone = self.light.on(shade(colour, self.uniform(0.75, 1.12)))
            for lean in (-0.5, 0.0, 0.45):
                self.pen.line((x, y, x + lean * tall, y - tall), fill=tone, width=2)


def _gradient(top: Colour, bottom: Colour, height: int) -> Image.Image:
    """A vertical gradient, `height` rows of canvas width."""
    column = np.linspace(np.array(top, float), np.array(bottom, float), max(height, 1)).round().astype(np.uint8)
    return Image.fromarray(column[:, None]).resize((CANVAS, max(height, 1)))


def _mottle(canvas: Canvas, top: float, bottom: float, strength: float) -> None:
    """Soft light and dark patches on the ground, stretched sideways by perspective."""
    y0, y1 = round(top * CANVAS), round(bottom * CANVAS)
    if y1 - y0 < 4:
        return
    coarse = canvas.rng.normal(0, 1, (14, 9)).astype(np.float32)
    field = Image.fromarray(coarse).resize((128, max((y1 - y0) // 4, 2)), Image.Resampling.BICUBIC)
    veil = np.clip(128 + np.asarray(field) * 127 * strength, 0, 255).astype(np.uint8)
    patch = canvas.image.crop((0, y0, CANVAS, y1))
    grey = Image.fromarray(veil).resize(patch.size, Image.Resampling.BILINEAR)
    dark, bright = patch.point(lambda v: v * 0.82), patch.point(lambda v: min(v * 1.14, 255))
    canvas.image.paste(Image.composite(bright, dark, grey), (0, y0))


def _clouds(canvas: Canvas, count: int) -> None:
    """Puffs of cloud, blurred on a small layer."""
    small = CANVAS // 4
    layer = Image.new("L", (small, small), 0)
    pen = ImageDraw.Draw(layer)
    for _ in range(count):
        x, y = canvas.uniform(0, small), canvas.uniform(0.05, canvas.horizon * 0.82) * small
        wide, alpha = canvas.uniform(9, 24), int(canvas.uniform(110, 220))
        for _ in range(7):
            dx, dy = canvas.uniform(-wide, wide), canvas.uniform(-2.5, 1.5)
            radius = canvas.uniform(2.5, 6) * (1 - 0.5 * abs(dx) / wide)
            pen.ellipse((x + dx - radius * 1.8, y + dy - radius, x + dx + radius * 1.8, y + dy + radius), fill=alpha)
    soft = layer.filter(ImageFilter.GaussianBlur(1.4)).resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)
    canvas.image.paste(canvas.light.cloud, (0, 0, CANVAS, CANVAS), soft)


def _sun(canvas: Canvas) -> None:
    """Sun or moon with a glow, sometimes stars."""
    light, rng = canvas.light, canvas.rng
    x, low = canvas.uniform(0.1, 0.9), light.name in ("sunset", "morning")
    y = canvas.horizon * (canvas.uniform(0.55, 0.9) if low else canvas.uniform(0.15, 0.45))
    if light.dark:
        for _ in range(int(rng.integers(25, 60))):
            sx, sy = canvas.uniform(0, CANVAS), canvas.uniform(0, canvas.horizon) * CANVAS
            canvas.pen.ellipse((sx, sy, sx + 2, sy + 2), fill=(214, 220, 240))
    if light.name == "cloudy" or rng.random() < 0.45:
        return
    colour = {"night": (240, 238, 220), "sunset": (255, 226, 150), "morning": (255, 244, 214)}.get(
        light.name, (255, 252, 232)
    )
    glow = Image.new("L", (128, 128), 0)
    pen = ImageDraw.Draw(glow)
    for radius, alpha in ((13, 40), (9, 70), (6, 110)):
        pen.ellipse((x * 128 - radius, y * 128 - radius, x * 128 + radius, y * 128 + radius), fill=alpha)
    soft = glow.filter(ImageFilter.GaussianBlur(4)).resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)
    canvas.image.paste(colour, (0, 0, CANVAS, CANVAS), soft)
    radius = 13 if light.dark else 16
    canvas.pen.ellipse(
        (x * CANVAS - radius, y * CANVAS - radius, x * CANVAS + radius, y * CANVAS + radius), fill=colour
    )


def paint_sky(canvas: Canvas) -> None:
    """Sky gradient, sun or moon, clouds, sometimes birds."""
    light = canvas.light
    rows = round(canvas.horizon * CANVAS) + 2
    canvas.image.paste(
        _gradient(jitter(canvas.rng, light.zenith, 12), jitter(canvas.rng, light.horizon, 8), rows), (0, 0)
    )
    _sun(canvas)
    _clouds(canvas, int(canvas.rng.integers(light.cloud_amount[0], light.cloud_amount[1] + 1)))
    if canvas.rng.random() < 0.25:
        bx, by = canvas.uniform(60, 440), canvas.uniform(0.1, 0.6) * canvas.horizon * CANVAS
        for _ in range(int(canvas.rng.integers(2, 6))):
            x, y, w = bx + canvas.uniform(-50, 50), by + canvas.uniform(-22, 22), canvas.uniform(5, 9)
            canvas.pen.line((x - w, y - w * 0.5, x, y, x + w, y - w * 0.5), fill=light.on((60, 62, 70)), width=2)


def _ridge(canvas: Canvas, colour: Colour, height: float, waves: float, rough: float = 0.0) -> None:
    """A line of hills (rough = 0) or mountains on the horizon; `height` as a fraction."""
    phase, phase2 = canvas.uniform(0, 2 * pi), canvas.uniform(0, 2 * pi)
    points = []
    for k in range(33):
        t = k / 32
        lift = 0.55 + 0.3 * sin(waves * t * 2 * pi + phase) + 0.15 * sin(waves * 2.3 * t * 2 * pi + phase2)
        lift += rough * float(canvas.rng.uniform(-0.5, 0.5))
        points.append((t * CANVAS, (canvas.horizon - height * max(lift, 0.02)) * CANVAS))
    base = (canvas.horizon + 0.01) * CANVAS
    canvas.pen.polygon([(0, base), *points, (CANVAS, base)], fill=colour)


def _hills(canvas: Canvas, colour: Colour) -> None:
    """Two layers of hills, the farther one fainter."""
    for share, height in ((0.62, 0.16), (0.34, 0.09)):
        tone = canvas.light.on(jitter(canvas.rng, colour), share)
        _ridge(canvas, tone, height * canvas.uniform(0.6, 1.2), canvas.uniform(0.6, 1.8))


def _ground(canvas: Canvas, far: Colour, near: Colour, top: float, mottle: float = 0.5) -> None:
    """A ground that grows richer towards the viewer."""
    rows = CANVAS - round(top * CANVAS)
    strip = _gradient(canvas.light.on(far, 0.25), canvas.light.on(near), rows)
    canvas.image.paste(strip, (0, CANVAS - rows))
    _mottle(canvas, top, 1.0, mottle)


def _water(canvas: Canvas, top: float, bottom: float, colour: Colour) -> None:
    """Water that mirrors the sky, with glints."""
    y0, y1 = round(top * CANVAS), round(bottom * CANVAS)
    mirrored = mix(canvas.light.on(colour), canvas.light.horizon, 0.45)
    canvas.image.paste(_gradient(mirrored, canvas.light.on(colour), y1 - y0), (0, y0))
    for _ in range(70):
        t = float(canvas.rng.random()) ** 1.5
        y, x = y0 + t * (y1 - y0), canvas.uniform(-20, CANVAS)
        tone = mix(canvas.light.on(colour), canvas.light.horizon if canvas.rng.random() < 0.7 else (20, 40, 60), 0.35)
        canvas.pen.line((x, y, x + canvas.uniform(10, 20 + 70 * t), y), fill=tone, width=1 + round(2 * t))


def _bushes(canvas: Canvas, count: int, y: float, colour: Colour) -> None:
    """Low round bushes in the middle distance."""
    for _ in range(count):
        x, foot, size = canvas.uniform(0, CANVAS), (y + canvas.uniform(0, 0.06)) * CANVAS, canvas.uniform(7, 18)
        for k in range(5):
            cx, tone = x + (k - 2) * size * 0.55, canvas.light.on(shade(colour, canvas.uniform(0.7, 1.0)), 0.12)
            r = size * canvas.uniform(0.55, 0.9)
            canvas.pen.ellipse((cx - r, foot - r * 1.3, cx + r, foot + r * 0.25), fill=tone)


def _fence(canvas: Canvas, y: float) -> None:
    """A wooden fence across a part of the picture."""
    colour, tall = canvas.light.on((176, 150, 118)), canvas.uniform(16, 26)
    x0, foot = canvas.uniform(-60, 260), y * CANVAS
    posts = int(canvas.rng.integers(5, 11))
    for k in range(posts):
        canvas.pen.rectangle((x0 + k * 26, foot - tall, x0 + k * 26 + 4, foot), fill=colour)
    for lift in (0.35, 0.75):
        canvas.pen.line((x0, foot - tall * lift, x0 + (posts - 1) * 26, foot - tall * lift), fill=colour, width=3)


def meadow(canvas: Canvas) -> None:
    """Rolling grass with flowers, bushes and sometimes a fence."""
    green = jitter(canvas.rng, (112, 160, 76), 18)
    _hills(canvas, (96, 142, 92))
    _ground(canvas, shade(green, 0.92), shade(green, 0.8), canvas.horizon)
    _bushes(canvas, int(canvas.rng.integers(2, 7)), canvas.horizon + 0.02, (74, 120, 66))
    if canvas.rng.random() < 0.3:
        _fence(canvas, canvas.horizon + canvas.uniform(0.06, 0.14))
    canvas.tufts(60, canvas.horizon + 0.06, 1.0, shade(green, 0.8))
    if canvas.rng.random() < 0.6:
        canvas.speckle(46, canvas.horizon + 0.06, 1, ((246, 226, 120), (240, 236, 240), (226, 130, 140)), 5)


def snow(canvas: Canvas) -> None:
    """A snowfield with far woods, drifts and sometimes falling snow."""
    _ridge(canvas, canvas.light.on((118, 132, 150), 0.5), 0.17, 1.2, 0.5)
    _ridge(canvas, canvas.light.on((84, 110, 108), 0.35), 0.06, 2.0, 0.8)
    _ground(canvas, (222, 230, 240), (240, 244, 250), canvas.horizon, 0.3)
    for _ in range(5):
        y, x, w = canvas.uniform(canvas.horizon + 0.05, 1) * CANVAS, canvas.uniform(-80, 450), canvas.uniform(60, 220)
        canvas.pen.arc((x, y, x + w, y + w * 0.16), 180, 360, fill=canvas.light.on((196, 208, 226)), width=4)
    canvas.speckle(14, canvas.horizon + 0.06, 1, ((150, 150, 146), (196, 208, 226)), 7)


def town(canvas: Canvas) -> None:
    """A skyline, a pavement and a road."""
    for haze, tall in ((0.6, 0.24), (0.35, 0.14)):
        x = -10.0
        while x < CANVAS:
            wide, high = canvas.uniform(22, 56), canvas.uniform(0.3, 1.0) * tall * CANVAS
            base, tone = canvas.horizon * CANVAS, canvas.light.on(jitter(canvas.rng, (150, 138, 134), 24), haze)
            canvas.pen.rectangle((x, base - high, x + wide, base + 3), fill=tone)
            for wy in np.arange(base - high + 7, base - 6, 13):
                for wx in np.arange(x + 5, x + wide - 6, 11):
                    lit = canvas.light.dark and canvas.rng.random() < 0.3
                    canvas.pen.rectangle((wx, wy, wx + 4, wy + 6), fill=LIT if lit else shade(tone, 0.86))
            x += wide + (canvas.uniform(0, 20) if canvas.rng.random() < 0.3 else 0)
    _ground(canvas, (186, 182, 176), (170, 166, 160), canvas.horizon, 0.25)
    road = canvas.horizon + canvas.uniform(0.14, 0.3)
    canvas.pen.rectangle((0, road * CANVAS, CANVAS, (road + 0.16) * CANVAS), fill=canvas.light.on((108, 108, 112)))
    canvas.pen.rectangle((0, road * CANVAS - 4, CANVAS, road * CANVAS), fill=canvas.light.on((206, 202, 194)))
    for k in range(9):
        x = k * 62 + canvas.uniform(-2, 2)
        canvas.pen.rectangle(
            (x, (road + 0.075) * CANVAS, x + 30, (road + 0.085) * CANVAS), fill=canvas.light.on((226, 222, 206))
        )
    for y in np.arange(road + 0.2, 1.0, 0.07):
        canvas.pen.line((0, y * CANVAS, CANVAS, y * CANVAS), fill=canvas.light.on((152, 148, 142)), width=1)


def lake(canvas: Canvas) -> None:
    """Mountains, a lake and a grassy bank in front."""
    _ridge(canvas, canvas.light.on((128, 140, 160), 0.45), 0.24, 1.0, 0.55)
    _hills(canvas, (88, 128, 96))
    _water(canvas, canvas.horizon, 0.84, jitter(canvas.rng, (74, 132, 166), 14))
    green = jitter(canvas.rng, (108, 150, 76), 16)
    bank = [(k / 16 * CANVAS, (0.8 + 0.02 * sin(k * 0.9 + canvas.horizon * 40)) * CANVAS) for k in range(17)]
    canvas.pen.polygon([(0, CANVAS), *bank, (CANVAS, CANVAS)], fill=canvas.light.on(green))
    _mottle(canvas, 0.84, 1.0, 0.5)
    canvas.tufts(60, 0.82, 1.0, shade(green, 0.78))


def beach(canvas: Canvas) -> None:
    """The sea with foam on a sandy shore."""
    shore = canvas.horizon + canvas.uniform(0.12, 0.22)
    sand = jitter(canvas.rng, (232, 208, 160), 10)
    _ground(canvas, sand, shade(sand, 0.94), shore - 0.02, 0.35)
    _water(canvas, canvas.horizon, shore, jitter(canvas.rng, (58, 142, 172), 14))
    for k in range(3):
        y = (shore - 0.005 - k * 0.028) * CANVAS
        wave = [(x, y + 3 * sin(x / 23 + k * 2 + shore * 50)) for x in range(0, CANVAS + 16, 16)]
        canvas.pen.line(wave, fill=canvas.light.on((244, 248, 248), 0.1), width=5 - k)
    canvas.speckle(50, shore + 0.03, 1, ((206, 178, 132), (246, 230, 196), (172, 150, 128)), 5)


@dataclass(frozen=True)
class Place:
    """A kind of place: its caption phrases, its painter, its horizon range and where subjects stand or float."""

    name: str
    phrases: tuple[str, ...]
    paint: Callable[[Canvas], None]
    horizon: tuple[float, float]
    land_top: float
    water: bool


PLACES: dict[str, Place] = {
    place.name: place
    for place in (
        Place("meadow", ("in a meadow", "on a green field", "on the grass"), meadow, (0.38, 0.56), 0.1, False),
        Place("snow", ("in the snow", "on a snowy field", "in a winter landscape"), snow, (0.38, 0.54), 0.1, False),
        Place("town", ("in town", "on a city street", "by the road"), town, (0.42, 0.54), 0.12, False),
        Place("lake", ("by a lake", "at the lakeside", "in front of the mountains"), lake, (0.4, 0.5), 0.38, True),
        Place("beach", ("on the beach", "by the sea", "at the seaside"), beach, (0.34, 0.48), 0.24, True),
    )
}
