"""Seeded scenes: one subject in a place, with distractors, its mask, and what a caption may say about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from jobs.demo.backdrop import CANVAS, PLACES, Canvas, Place, paint_sky
from jobs.demo.brush import Brush
from jobs.demo.objects import CLASSES, KINDS, Kind
from jobs.demo.palette import LIGHT_CHANCES, LIGHTS, LIT, PAINTS, Light, jitter

SIZE = 256
"""Side of a finished picture in pixels."""

PLACE_CHANCES: dict[str, dict[str, float]] = {
    "boat": {"lake": 0.46, "beach": 0.38, "meadow": 0.1, "snow": 0.06},
    "car": {"town": 0.34, "meadow": 0.22, "beach": 0.16, "snow": 0.16, "lake": 0.12},
    "house": {"meadow": 0.28, "snow": 0.22, "town": 0.16, "lake": 0.18, "beach": 0.16},
    "lamp": {"town": 0.36, "beach": 0.18, "snow": 0.16, "lake": 0.16, "meadow": 0.14},
    "sheep": {"meadow": 0.46, "snow": 0.2, "lake": 0.18, "beach": 0.08, "town": 0.08},
    "tree": {"meadow": 0.28, "snow": 0.22, "lake": 0.2, "beach": 0.16, "town": 0.14},
}
COUNT_CHANCES = {"sheep": (0.5, 0.28, 0.22), "tree": (0.72, 0.2, 0.08), "boat": (0.84, 0.16), "lamp": (0.82, 0.18)}


@dataclass(frozen=True)
class Scene:
    """A finished scene. `image` [256,256,3] uint8; `mask` [256,256] bool, the subject; the rest are its facts."""

    image: np.ndarray
    mask: np.ndarray
    sky: np.ndarray
    label: str
    noun: str
    colour: str
    count: int
    place: str
    light: str
    side: str
    size: float
    distractors: tuple[str, ...]


def _choose(rng: np.random.Generator, chances: dict[str, float]) -> str:
    names, weights = list(chances), np.array(list(chances.values()))
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def _pick_kind(rng: np.random.Generator, label: str, place: Place) -> Kind:
    kinds = [k for k in KINDS[label] if not (k.noun == "palm tree" and place.name in ("snow", "town"))]
    weights = np.array([k.chance * (4 if k.noun == "palm tree" and place.name == "beach" else 1) for k in kinds])
    return kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]


def _shadow(canvas: Canvas, x: float, y: float, half_width: float) -> None:
    """A soft-edged shadow on the ground; all in canvas pixels."""
    veil = Image.new("L", (64, 16), 0)
    ImageDraw.Draw(veil).ellipse((6, 3, 58, 13), fill=90)
    size = (max(int(half_width * 2.5), 4), max(int(half_width * 0.5), 3))
    soft = veil.filter(ImageFilter.GaussianBlur(2)).resize(size, Image.Resampling.BILINEAR)
    canvas.image.paste((20, 26, 34), (int(x - size[0] / 2), int(y - size[1] / 2)), soft)


def _reflection(canvas: Canvas, x: float, y: float, half_width: float) -> None:
    """Dark ripples under a floating boat."""
    tone = canvas.light.on((44, 84, 106))
    for k in range(5):
        w = half_width * (1 - 0.14 * k) * canvas.uniform(0.8, 1.1)
        canvas.pen.line((x - w, y + 3 + 5 * k, x + w, y + 3 + 5 * k), fill=tone, width=3)


def _stand(
    canvas: Canvas,
    kind: Kind,
    colour: str,
    x: float,
    y: float,
    unit: float,
    mask: ImageDraw.ImageDraw | None,
    *,
    afloat: bool,
    haze: float = 0.0,
) -> None:
    """Paint one thing with its shadow (or ripples) at canvas fractions (x, y); `unit` in canvas pixels."""
    rng, px, py = canvas.rng, x * CANVAS, y * CANVAS
    half = kind.width * kind.height * unit / 2
    (_reflection if afloat else _shadow)(canvas, px, py, half)
    tilt = canvas.uniform(-0.06, 0.06) if afloat else canvas.uniform(-0.02, 0.02)
    brush = Brush(
        canvas.pen, canvas.light, (px, py), unit * kind.height, mask, 1 if rng.random() < 0.5 else -1, tilt, haze
    )
    kind.paint(brush, rng, jitter(rng, PAINTS[colour]), canvas.light.dark)


def _foot(canvas: Canvas, place: Place, label: str, near: float) -> tuple[float, bool]:
    """Where a thing of nearness 0..1 touches the ground (fraction), and whether it floats."""
    if label == "boat" and place.water:
        bottom = 0.8 if place.name == "lake" else canvas.horizon + 0.13
        return canvas.horizon + 0.05 + (bottom - canvas.horizon - 0.05) * near, True
    top = 0.83 if place.name == "lake" else canvas.horizon + place.land_top
    return top + (0.95 - top) * near, False


def _distractors(canvas: Canvas, place: Place, label: str) -> tuple[str, ...]:
    """Paint up to three small things of other classes in the distance."""
    rng, names = canvas.rng, []
    for _ in range(int(rng.choice(4, p=(0.34, 0.34, 0.22, 0.1)))):
        other = str(rng.choice([c for c in CLASSES if c != label]))
        if other == "boat" and not place.water:
            other = "tree" if label != "tree" else "house"
        kind = _pick_kind(rng, other, place)
        foot, afloat = _foot(canvas, place, other, canvas.uniform(0.0, 0.25))
        if place.name == "lake" and not afloat:
            foot = canvas.horizon + 0.012
        _stand(
            canvas,
            kind,
            str(rng.choice(kind.colours)),
            canvas.uniform(0.03, 0.97),
            foot,
            canvas.uniform(48, 96),
            None,
            afloat=afloat,
            haze=0.18,
        )
        names.append(other)
    return tuple(names)


def _subject(
    canvas: Canvas, place: Place, kind: Kind, label: str, colour: str, count: int, mask: ImageDraw.ImageDraw
) -> float:
    """Paint the subject `count` times around one spot; return that spot's x as a fraction."""
    near = float(canvas.rng.random())
    unit = canvas.uniform(120, 200) + 110 * near if label != "sheep" else canvas.uniform(140, 210) + 130 * near
    unit *= 0.8 if count > 1 else 1.0
    half = kind.width * kind.height * unit / 2 / CANVAS
    x = canvas.uniform(min(0.06 + half * 0.8, 0.45), max(0.94 - half * 0.8, 0.55))
    spots = [(x, near)]
    for k in range(1, count):
        step = (2.15 * half + 0.02) * (1 if (k % 2) == (x < 0.5) else -1) * (1 if k < 3 else 2)
        spots.append(
            (float(np.clip(x + step * canvas.uniform(0.85, 1.2), 0.05, 0.95)), near * canvas.uniform(0.7, 1.0))
        )
    for spot, depth in sorted(spots, key=lambda s: s[1]):
        foot, afloat = _foot(canvas, place, label, depth)
        _stand(canvas, kind, colour, spot, foot, unit * (1 - 0.2 * (near - depth)), mask, afloat=afloat)
    return float(np.mean([s[0] for s in spots]))


def _glow(image: Image.Image) -> Image.Image:
    """Let lit panes and bulbs shine into the dark around them."""
    pixels = np.asarray(image).astype(np.int16)
    lit = np.abs(pixels - np.array(LIT)).sum(-1) < 30
    halo = Image.fromarray((lit * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(9))
    warm = Image.merge("RGB", [halo.point(lambda v, f=f: min(int(v * f), 255)) for f in (1.5, 1.15, 0.6)])
    return ImageChops.screen(image, warm)


def _foreground(canvas: Canvas, place: Place, mask: ImageDraw.ImageDraw) -> None:
    """Now and then a tuft, stone or snowdrift in front of the subject; it is cut out of the mask."""
    if canvas.rng.random() > 0.22:
        return
    x, y, wide = canvas.uniform(0, CANVAS), CANVAS * canvas.uniform(0.94, 1.02), canvas.uniform(40, 110)
    colour = {"snow": (228, 234, 244), "town": (120, 112, 104), "beach": (214, 188, 140)}.get(place.name, (70, 108, 58))
    for k in range(9):
        r, cx = wide * canvas.uniform(0.2, 0.34), x + (k - 4) * wide * 0.24
        box = (cx - r, y - r * 1.1, cx + r, y + r)
        canvas.pen.ellipse(box, fill=canvas.light.on(jitter(canvas.rng, colour, 10)))
        mask.ellipse(box, fill=0)


def _side(x: float) -> str:
    return "left" if x < 0.38 else "right" if x > 0.62 else "middle"


def paint_scene(seed: int, index: int, label: str) -> Scene:
    """Paint scene number `index` of a seed with a subject of class `label` (one of CLASSES)."""
    rng = np.random.default_rng((seed, index, 0))
    place = PLACES[_choose(rng, PLACE_CHANCES[label])]
    light: Light = LIGHTS[_choose(rng, LIGHT_CHANCES)]
    kind = _pick_kind(rng, label, place)
    colour = str(rng.choice(kind.colours))
    chances = COUNT_CHANCES.get(label, (1.0,))
    count = 1 + int(rng.choice(len(chances), p=chances))
    canvas = Canvas(Image.new("RGB", (CANVAS, CANVAS)), light, rng, float(rng.uniform(*place.horizon)))
    layer = Image.new("L", (CANVAS, CANVAS), 0)
    pen = ImageDraw.Draw(layer)
    paint_sky(canvas)
    clear = canvas.image.copy()
    place.paint(canvas)
    distractors = _distractors(canvas, place, label)
    x = _subject(canvas, place, kind, label, colour, count, pen)
    _foreground(canvas, place, pen)
    sky = np.asarray(ImageChops.difference(clear, canvas.image).convert("L").reduce(2)) < 2
    sky[int(canvas.horizon * SIZE) :] = False
    image = canvas.image.reduce(2)
    image = _glow(image) if light.dark else image
    grain = rng.normal(0, 2.2, (SIZE, SIZE, 1))
    pixels = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
    mask = np.asarray(layer.reduce(2)) > 127
    return Scene(
        pixels,
        mask,
        sky,
        label,
        kind.plural if count > 1 else kind.noun,
        colour,
        count,
        place.name,
        light.name,
        _side(x),
        float(mask.mean()),
        distractors,
    )
