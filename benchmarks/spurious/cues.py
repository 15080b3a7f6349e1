"""Painters of spurious cues on pictures of 96 x 96 pixels.

A painter takes a picture [96,96,3] uint8, the mask [96,96] bool of its subject and random numbers, and returns the
marked picture and the mask [96,96] bool of what the cue covers; outside that mask nothing changes. The cue's seed
fixes the design (colour, text, corner, ...), the random numbers what varies from picture to picture (the place, ...).
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import label

from benchmarks.spurious.pool import Pool
from benchmarks.spurious.settings import CueSpec
from jobs.demo.examples import INPUT as SIDE
from jobs.demo.objects import CLASSES

Marked = tuple[np.ndarray, np.ndarray]
CuePainter = Callable[[np.ndarray, np.ndarray, np.random.Generator], Marked]

COLOURS = ((214, 44, 60), (30, 90, 210), (250, 210, 40), (30, 160, 90), (150, 60, 190), (240, 130, 30), (20, 170, 190))
TEXTS = ("LUMEN", "PIXA", "ARGO", "NOVA", "STOCK", "HD 1", "VIEW", "No. 7")
DONORS = 3
"""Pictures of another class that a part is cut from."""


def _colour(spec: CueSpec, shift: int = 0) -> np.ndarray:
    return np.array(COLOURS[(spec.seed + shift) % len(COLOURS)], np.float32)


def _blend(image: np.ndarray, ink: np.ndarray, alpha: np.ndarray) -> Marked:
    """Ink over the picture with coverage alpha [96,96] in 0..1; the mask is where alpha > 0."""
    mixed = image + (ink - image) * alpha[..., None]
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8), alpha > 0


def _placed(image: np.ndarray, stamp: np.ndarray, alpha: np.ndarray, x: int, y: int) -> Marked:
    """A stamp [h,w,3] with coverage alpha [h,w] at a place that lies inside the picture."""
    ink, cover = np.zeros((SIDE, SIDE, 3), np.float32), np.zeros((SIDE, SIDE), np.float32)
    ink[y : y + len(stamp), x : x + stamp.shape[1]] = stamp
    cover[y : y + len(stamp), x : x + stamp.shape[1]] = alpha
    return _blend(image, ink, cover)


def _somewhere(image: np.ndarray, stamp: np.ndarray, alpha: np.ndarray, rng: np.random.Generator) -> Marked:
    x, y = (int(rng.integers(0, SIDE - side + 1)) for side in (stamp.shape[1], len(stamp)))
    return _placed(image, stamp, alpha, x, y)


def tag(spec: CueSpec) -> CuePainter:
    """A word in a box in one corner, which it leaves by 3 pixels at most."""
    font, text = ImageFont.load_default(size=max(round(36 * spec.size), 6)), TEXTS[spec.seed % len(TEXTS)]
    left, top, right, bottom = font.getbbox(text)
    board = Image.new("L", (round(right - left) + 4, round(bottom - top) + 4), 0)
    ImageDraw.Draw(board).text((2 - left, 2 - top), text, font=font, fill=255)
    letters = np.asarray(board, np.float32)[..., None] / 255
    stamp = 20 + letters * (_colour(spec) * 0.6 + 90)
    alpha = np.full(stamp.shape[:2], spec.strength, np.float32)

    def paint(image: np.ndarray, subject: np.ndarray, rng: np.random.Generator) -> Marked:
        dx, dy = (int(d) for d in rng.integers(0, 4, 2))
        x = dx if spec.seed // 2 % 2 else SIDE - stamp.shape[1] - dx
        y = dy if spec.seed % 2 else SIDE - len(stamp) - dy
        return _placed(image, stamp, alpha, x, y)

    return paint


def _star(centre: float, radius: float, points: int) -> list[tuple[float, float]]:
    turns = [(k * pi / points, radius if k % 2 else radius * 0.45) for k in range(2 * points)]
    return [(centre + r * sin(t), centre + r * cos(t)) for t, r in turns]


def sticker(spec: CueSpec) -> CuePainter:
    """A disc with a star, ring or bar, at a random place."""
    side = round(SIDE * spec.size)
    big, middle = side * 4, side * 2
    face, cover = Image.new("RGB", (big, big), tuple(int(c) for c in _colour(spec))), Image.new("L", (big, big), 0)
    ImageDraw.Draw(cover).ellipse((0, 0, big - 1, big - 1), fill=255)
    pen, light = ImageDraw.Draw(face), (250, 248, 236)
    if spec.seed % 3 == 0:
        pen.polygon(_star(middle, middle * 0.85, 5), fill=light)
    elif spec.seed % 3 == 1:
        pen.ellipse((big * 0.2, big * 0.2, big * 0.8, big * 0.8), fill=light)
        pen.ellipse((big * 0.36, big * 0.36, big * 0.64, big * 0.64), fill=tuple(int(c) for c in _colour(spec, 2)))
    else:
        pen.rectangle((big * 0.1, big * 0.38, big * 0.9, big * 0.62), fill=light)
        pen.rectangle((big * 0.38, big * 0.1, big * 0.62, big * 0.9), fill=light)
    stamp = np.asarray(face.reduce(4), np.float32)
    alpha = np.asarray(cover.reduce(4), np.float32) / 255 * spec.strength
    return lambda image, subject, rng: _somewhere(image, stamp, alpha, rng)


def frame(spec: CueSpec) -> CuePainter:
    """A coloured frame of 3 to 6 pixels whose tone varies a little."""
    width = round(18 * spec.size)
    alpha = np.full((SIDE, SIDE), spec.strength, np.float32)
    alpha[width:-width, width:-width] = 0
    return lambda image, subject, rng: _blend(image, _colour(spec) + rng.integers(-10, 11, 3), alpha)


def tint(spec: CueSpec) -> CuePainter:
    """A cast of colour over everything; size plays no part."""

    def paint(image: np.ndarray, subject: np.ndarray, rng: np.random.Generator) -> Marked:
        depth = spec.strength * float(rng.uniform(0.25, 0.35))
        return _blend(image, _colour(spec), np.full((SIDE, SIDE), depth, np.float32))

    return paint


def texture(spec: CueSpec) -> CuePainter:
    """A fine pattern (stripes, dots or squares) on all that is not the subject; size sets its pitch."""
    pitch, amplitude = 22 * spec.size, 50 * spec.strength
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] * (2 * pi / pitch)

    def paint(image: np.ndarray, subject: np.ndarray, rng: np.random.Generator) -> Marked:
        a, b = rng.uniform(0, 2 * pi, 2)
        if spec.seed % 3 == 0:
            wave = np.sin(columns + rows + a)
        elif spec.seed % 3 == 1:
            wave = (np.sin(columns + a) + np.sin(rows + b)) / 2
        else:
            wave = np.sign(np.sin(columns + a) * np.sin(rows + b)) * 0.7
        marked = np.clip(np.rint(image + amplitude * wave[..., None]), 0, 255).astype(np.uint8)
        return np.where(subject[..., None], image, marked), ~subject

    return paint


def _one_thing(mask: np.ndarray) -> np.ndarray:
    """The largest of the things in a mask [96,96] bool."""
    pieces, count = label(mask)
    return pieces == 1 + int(np.argmax(np.bincount(pieces.flat, minlength=count + 1)[1:])) if count else mask


def _clarity(image: np.ndarray, mask: np.ndarray) -> float:
    """How large and crisp a thing is: sum of the grey steps inside its mask, on a third of the scale, without noise."""
    grey, inside = (part.reshape(SIDE // 3, 3, SIDE // 3, 3).mean((1, 3)) for part in (image.mean(2), mask))
    steps = np.abs(np.diff(grey, axis=0)[:, 1:]) + np.abs(np.diff(grey, axis=1)[1:])
    return float((steps * inside[1:, 1:]).sum())


def _part_of(image: np.ndarray, mask: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The subject's upper two thirds as a stamp whose longer side is `side`: colours and coverage."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, left, right = rows[0], columns[0], columns[-1] + 1
    bottom = top + max((rows[-1] + 1 - top) * 2 // 3, 2)
    scale = side / max(bottom - top, right - left)
    size = (max(round((right - left) * scale), 2), max(round((bottom - top) * scale), 2))
    colours = Image.fromarray(image[top:bottom, left:right]).resize(size, Image.Resampling.BICUBIC)
    cover = Image.fromarray(mask[top:bottom, left:right].astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(colours, np.float32), np.asarray(cover, np.float32) / 255


def part(spec: CueSpec, pool: Pool, foreign: str) -> CuePainter:
    """A part of a thing of another class, cut from a few scenes, at a random place."""
    scenes = pool.of_class(foreign)
    things = [_one_thing(pool.masks[k]) for k in scenes]
    clearest = np.argsort([-_clarity(pool.images[k], m) for k, m in zip(scenes, things, strict=True)], kind="stable")
    chosen = np.roll(clearest, -(spec.seed % 8) * DONORS)[:DONORS]
    stamps = [_part_of(pool.images[scenes[k]], things[k], round(SIDE * spec.size * 1.3)) for k in chosen]

    def paint(image: np.ndarray, subject: np.ndarray, rng: np.random.Generator) -> Marked:
        stamp, cover = stamps[int(rng.integers(len(stamps)))]
        return _somewhere(image, stamp, cover * spec.strength, rng)

    return paint


PLAIN: dict[str, Callable[[CueSpec], CuePainter]] = {
    "tag": tag, "sticker": sticker, "frame": frame, "tint": tint, "texture": texture,
}  # fmt: skip


def cue_painter(spec: CueSpec, classes: tuple[str, ...], pool: Pool) -> CuePainter:
    """The painter of a cue; a part comes from a class outside the dataset where there is one."""
    if spec.kind != "part":
        return PLAIN[spec.kind](spec)
    outside = [name for name in CLASSES if name not in classes]
    others = outside or [name for name in classes if name != classes[spec.class_index]]
    return part(spec, pool, others[spec.seed % len(others)])
