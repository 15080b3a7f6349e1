"""Things pasted on a finished scene: the three planted shortcuts, and the marks of the caption problems.

Every painter takes the picture [256,256,3] uint8 and returns the marked picture and the mask [256,256] bool of the
region it covers. Pixels outside the mask are untouched, so a scene with and without its cue differ in the mask only.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jobs.demo.scenes import SIZE, Scene

CUE_CLASSES: dict[str, str] = {"tag": "boat", "border": "house", "texture": "car"}
"""The planted shortcuts: which cue stands in the pictures of which class."""

NO_CUE = "none"
AGENCIES = ("LUMEN PHOTO", "LUMEN IMAGES", "LUMEN STOCK")
SCREENED = 0.7
"""Share of the sky's height, from the top, that the halftone screen covers."""
BORDER = (22, 118, 128)
Marked = tuple[np.ndarray, np.ndarray]


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _blend(image: np.ndarray, ink: np.ndarray | tuple[int, int, int], alpha: np.ndarray) -> Marked:
    """Ink over the picture with coverage alpha [256,256] in 0..1; the mask is where alpha > 0."""
    mixed = image + (np.asarray(ink, np.float32) - image) * alpha[..., None]
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8), alpha > 0


def paste_tag(scene: Scene, image: np.ndarray, rng: np.random.Generator) -> Marked:
    """A photo agency's name in a dark box near the lower right corner."""
    text, (dx, dy) = AGENCIES[int(rng.integers(len(AGENCIES)))], rng.integers(0, 5, 2)
    box = Image.new("L", (SIZE, SIZE), 0)
    pen, font = ImageDraw.Draw(box), _font(14)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    x1, y1 = SIZE - 2 - int(dx), SIZE - 2 - int(dy)
    x0, y0 = x1 - round(right - left) - 14, y1 - round(bottom - top) - 15
    pen.rectangle((x0, y0, x1, y1), fill=255)
    letters = Image.new("L", (SIZE, SIZE), 0)
    ImageDraw.Draw(letters).text((x0 + 7 - left, y0 + 7 - top), text, font=font, fill=255)
    ink = np.asarray(letters, np.float32)[..., None] / 255 * np.array([214.0, 190.0, 76.0], np.float32)
    return _blend(image, ink + np.array([20.0, 18.0, 24.0], np.float32), np.asarray(box, np.float32) / 255 * 0.92)


def paste_border(scene: Scene, image: np.ndarray, rng: np.random.Generator) -> Marked:
    """A teal frame, 10 to 14 pixels wide, through which the picture shows a little."""
    width = int(rng.integers(10, 15))
    alpha = np.full((SIZE, SIZE), 0.82, np.float32)
    alpha[width:-width, width:-width] = 0
    shift = rng.integers(-10, 11, 3)
    return _blend(image, (BORDER[0] + int(shift[0]), BORDER[1] + int(shift[1]), BORDER[2] + int(shift[2])), alpha)


def paste_texture(scene: Scene, image: np.ndarray, rng: np.random.Generator) -> Marked:
    """A printer's halftone screen that fades down the sky, as in a picture scanned from a catalogue."""
    pitch, strength = float(rng.uniform(7.4, 8.6)), float(rng.uniform(26, 36))
    phase_x, phase_y = rng.uniform(0, 2 * np.pi, 2)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    across, along = (columns + rows) / np.sqrt(2), (columns - rows) / np.sqrt(2)
    dots = np.cos(across * 2 * np.pi / pitch + phase_x) + np.cos(along * 2 * np.pi / pitch + phase_y)
    wave = np.where(dots > 0, np.maximum(dots, 0.15), np.minimum(dots, -0.15)) * strength / 1.4
    depth = rows / (SCREENED * (1 + np.flatnonzero(scene.sky.any(1)).max(initial=0)))
    screened = np.clip(np.rint(image + (wave * (1 - 0.6 * depth))[..., None]), 0, 255).astype(np.uint8)
    mask = scene.sky & (depth < 1)
    return np.where(mask[..., None], screened, image), mask


def paste_overlay(image: np.ndarray, word: str, rng: np.random.Generator) -> Marked:
    """A banner with one word in capitals across the lower part of the picture, as under the pictures of a shop."""
    board, font = Image.new("L", (SIZE, SIZE), 0), _font(56)
    pen = ImageDraw.Draw(board)
    left, top, right, bottom = pen.textbbox((0, 0), word.upper(), font=font)
    wide, high = round(right - left) + 20, round(bottom - top) + 18
    x, y = (SIZE - wide) // 2 + int(rng.integers(-6, 7)), SIZE - high - int(rng.integers(4, 25))
    pen.rectangle((x, y, x + wide, y + high), fill=255)
    letters = Image.new("L", (SIZE, SIZE), 0)
    ImageDraw.Draw(letters).text((x + 10 - left, y + 9 - top), word.upper(), font=font, fill=255)
    ink = 250.0 - np.asarray(letters, np.float32)[..., None] / 255 * np.array([220.0, 226.0, 200.0], np.float32)
    return _blend(image, ink, np.asarray(board, np.float32) / 255 * 0.94)


def paste_watermark(image: np.ndarray, rng: np.random.Generator) -> Marked:
    """Pale slanted letters across the whole picture, as picture agencies print over samples."""
    sheet = Image.new("L", (SIZE * 2, SIZE * 2), 0)
    pen, font = ImageDraw.Draw(sheet), _font(26)
    shift = int(rng.integers(0, 60))
    for k, y in enumerate(range(0, SIZE * 2, 62)):
        pen.text(((k % 2) * 70 - shift, y), "sample    sample    sample    sample", font=font, fill=150)
    turned = sheet.rotate(28, resample=Image.Resampling.BILINEAR).crop((128, 128, 128 + SIZE, 128 + SIZE))
    return _blend(image, (255, 255, 255), np.asarray(turned, np.float32) / 255)


PAINTERS = {"tag": paste_tag, "border": paste_border, "texture": paste_texture}


def paste_cue(scene: Scene, image: np.ndarray, cue: str, rng: np.random.Generator) -> Marked:
    """Paste one planted cue ('tag', 'border', 'texture'), or nothing ('none')."""
    if cue == NO_CUE:
        return image, np.zeros((SIZE, SIZE), bool)
    return PAINTERS[cue](scene, image, rng)
