"""Painters of relevancy maps over pictures: pure functions from arrays and pictures to pictures.

Glossary: a *map* is the relevancy per token, an array [h, w]; a *view* is the rectangle
(x0, y0, x1, y1) of the upright picture that the token grid covers, as fractions of its width and
height. (0, 0, 1, 1) is the whole picture, smaller is a centre crop, outside 0..1 is padding.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO
from math import isqrt
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from dashboard import colormaps
from dashboard.boxes import STRONGEST, STRONGEST_ON_TILES, Box, RegionMap, is_tile, outline, owners

PAINTER_VERSION = 3  # part of every cache key: raise it when the same input gives another picture
WHOLE = (0.0, 0.0, 1.0, 1.0)
MODES = ("overlay", "original", "map")
MAX_PIXELS = 200_000_000  # refuse decompression bombs
FLOOR = 0.25  # share of the opacity that the least relevant token gets, so that the picture stays readable there
MATS = {"light": (238, 241, 244), "dark": (26, 34, 42)}  # around a picture on a square tile, by theme
REGION_SHARE = 0.65  # of the opacity: a box has one colour all over, and what is in it must stay visible
UNSEEN = np.array([128.0, 128.0, 128.0])  # grey that stands for "the model never saw this"

View = tuple[float, float, float, float]
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Look:
    """How a map is shown: mode 'overlay' | 'original' | 'map', opacity 0..100 %, colour map name."""

    mode: str = "overlay"
    opacity: int = 80
    colormap: str = "viridis"


def open_upright(picture: Path | BinaryIO, side: int) -> Image.Image:
    """The picture in a file as upright RGB, scaled so that its longer side is ``side`` pixels.

    Raises OSError or ValueError when the file is missing or no picture.
    """
    with Image.open(picture) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"picture of {image.width} x {image.height} pixels is too large to show")
        image.draft("RGB", (side, side))  # lets a JPEG decode at a fraction of its size
        upright = ImageOps.exif_transpose(image)
        upright = upright.convert("RGBA") if upright.has_transparency_data else _to_8_bit(upright)
        if upright.mode == "RGBA":
            ground = Image.new("RGBA", upright.size, "white")
            upright = Image.alpha_composite(ground, upright)
        upright = upright.convert("RGB")
    scale = side / max(upright.size)
    fitted = (max(round(upright.width * scale), 1), max(round(upright.height * scale), 1))
    return upright.resize(fitted, Image.Resampling.LANCZOS)


def _to_8_bit(image: Image.Image) -> Image.Image:
    """16-bit and float greys scaled to 8 bits; every other mode as it is."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image, dtype=np.float64)
    top = 65535.0 if values.max(initial=0) > 255 else 255.0
    return Image.fromarray(np.clip(values * 255 / top, 0, 255).astype(np.uint8))


def grid_shape(tokens: int, grid: tuple[int, int] | None) -> tuple[int, int] | None:
    """(rows, columns) of a map of ``tokens`` values; None when they form no grid."""
    if grid is not None and grid[0] * grid[1] == tokens:
        return grid
    side = isqrt(tokens)
    return (side, side) if side * side == tokens and tokens else None


def normalise(relevancy: Floats) -> NDArray[np.float64]:
    """Min-max over this one map to 0..1; a constant map gives zeros; not-a-number counts as the minimum."""
    values = np.asarray(relevancy, dtype=np.float64)
    finite = values[np.isfinite(values)]
    if not finite.size or finite.max() <= finite.min():
        return np.zeros_like(values)
    low, high = finite.min(), finite.max()
    return np.clip(np.nan_to_num((values - low) / (high - low), nan=0.0, posinf=1.0, neginf=0.0), 0, 1)


def spread(relevancy: Floats, view: View, size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The normalised map upsampled (bilinear) into its view rectangle of a picture.

    ``size`` is (width, height). Returns the heat [height, width] in 0..1 and the mask [height, width]
    of the pixels that the model saw.
    """
    width, height = size
    left, top = round(view[0] * width), round(view[1] * height)
    right, bottom = max(round(view[2] * width), left + 1), max(round(view[3] * height), top + 1)
    small = Image.fromarray(normalise(relevancy).astype(np.float32))
    large = np.asarray(small.resize((right - left, bottom - top), Image.Resampling.BILINEAR))
    heat, seen = np.zeros((height, width)), np.zeros((height, width), dtype=bool)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if x1 > x0 and y1 > y0:
        heat[y0:y1, x0:x1] = large[y0 - top : y1 - top, x0 - left : x1 - left]
        seen[y0:y1, x0:x1] = True
    return heat, seen


def shade(regions: RegionMap, size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Heat [height, width] in 0..1 of a region map, the most relevant box on top, and the mask of what boxes cover."""
    owner = owners(regions, size)
    heat = np.append(normalise(regions.values), 0.0)[owner]  # -1, no region, picks the zero at the end
    return heat, owner >= 0


def blend(
    picture: Image.Image, relevancy: Floats | RegionMap | None, view: View, look: Look, box: Box | None = None
) -> Image.Image:
    """The picture in the chosen look. Where the model saw nothing it is dimmed (not in mode 'original').

    The strongest regions of a region map are outlined and numbered; so is ``box``, that of a detection, in any mode.
    """
    painted = _painted(picture, relevancy, view, look)
    if isinstance(relevancy, RegionMap) and look.mode != "original":
        most = STRONGEST_ON_TILES if is_tile(picture.size) else STRONGEST
        ranked = list(enumerate(relevancy.strongest(most), 1))
        for rank, i in reversed(ranked):  # the first one on top
            painted = outline(painted, relevancy.boxes[i], str(rank))
    return painted if box is None else outline(painted, box)


def _painted(picture: Image.Image, relevancy: Floats | RegionMap | None, view: View, look: Look) -> Image.Image:
    if relevancy is None or look.mode == "original":
        return picture
    pixels = np.asarray(picture, dtype=np.float64)
    if isinstance(relevancy, RegionMap):
        heat, seen = shade(relevancy, picture.size)
    else:
        heat, seen = spread(relevancy, view, picture.size)
    colors = colormaps.paint(heat, look.colormap).astype(np.float64)
    opacity = look.opacity / 100 * (REGION_SHARE if isinstance(relevancy, RegionMap) else 1.0)
    weight = 1.0 if look.mode == "map" else (opacity * (FLOOR + (1 - FLOOR) * heat))[..., None]
    painted = pixels * (1 - weight) + colors * weight
    dimmed = np.broadcast_to(UNSEEN, pixels.shape) if look.mode == "map" else _dim(pixels)
    if isinstance(relevancy, RegionMap) and look.mode != "map":
        dimmed = (dimmed + pixels) / 2  # not cropped away, only not described by a region
    return Image.fromarray(np.where(seen[..., None], painted, dimmed).round().astype(np.uint8))


def _dim(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    grey = pixels.mean(axis=2, keepdims=True)
    return 0.35 * grey + 0.65 * UNSEEN


def on_square(picture: Image.Image, side: int, theme: str = "light") -> Image.Image:
    """The whole picture centred on a plain square, so that tiles of all shapes line up; nothing is cut off."""
    if picture.width == picture.height:
        return picture
    square = Image.new("RGB", (side, side), MATS[theme])
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


def empty(side: int, size: tuple[int, int] | None, theme: str = "light") -> Image.Image:
    """A plain ground in the shape of a picture that is not there, for boxes to be drawn on."""
    width, height = size or (4, 3)
    scale = side / max(width, height)
    return Image.new("RGB", (max(round(width * scale), 1), max(round(height * scale), 1)), MATS[theme])


def notice(text: str, side: int, theme: str = "light") -> Image.Image:
    """A plain tile that says something in place of a picture."""
    tile = Image.new("RGB", (side, side), MATS[theme])
    middle, size = (side / 2, side / 2), side // 13
    ImageDraw.Draw(tile).multiline_text(middle, text, fill=(120, 132, 145), anchor="mm", align="center", font_size=size)
    return tile


def is_picture(file: BinaryIO) -> bool:
    """Whether a file begins as a picture does."""
    file.seek(0)
    try:
        with Image.open(file):
            return True
    except Exception:  # Pillow raises many kinds
        return False


def encode(picture: Image.Image, quality: int = 85) -> bytes:
    """JPEG bytes of the pixels alone: no EXIF, comment or profile that the file may have had, and without colour
    subsampling, which would smear the edges of a colour map."""
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=quality, subsampling=0, exif=b"", comment=b"", icc_profile=b"")
    return buffer.getvalue()


def data_url(jpeg: bytes) -> str:
    """A picture as an address that holds it."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def decode(data: bytes) -> Image.Image:
    """The RGB picture in bytes that :func:`encode` made."""
    with Image.open(BytesIO(data)) as image:
        return image.convert("RGB")
