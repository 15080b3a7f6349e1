"""Decoding pictures, wherever their bytes lie, into upright RGB, and masks into booleans.

Every way in which a file can be bad ends in a `PictureError` with a short reason, so that one broken
file costs one sample and never the run.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from storage.errors import line
from storage.media import LocalFile, MediaError, Place

if TYPE_CHECKING:
    from jobs.readers import Dataset

# fmt: off
EXTENSIONS = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".tga",
})
# fmt: on
# Pillow knows more: some, as EPS, are programs that another program runs, whatever the file is called
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA")
MAX_PIXELS = 178_956_970  # where Pillow itself refuses: a bomb unpacks to more memory than the machine has
WHITE = (255, 255, 255, 255)
ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)  # of EXIF
MAKE, MODEL, SOFTWARE = 0x010F, 0x0110, 0x0131
DRAFTED = ("JPEG", "MPO")  # formats that decode at a fraction of their size
ROWS = 64  # of a deep picture that are scaled at a time
DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")

ImageFile.LOAD_TRUNCATED_IMAGES = False  # half a picture would be explained as if it were whole


Where = str | Path | Place  # a path, or whatever `storage.media` located
Enough = Callable[[int, int], tuple[int, int]]
"""(width, height) of an upright picture -> the width and height that a copy must have at least, pixels."""


class PictureError(Exception):
    """One picture file cannot be used. `reason` is short and the same for all files with the same fault."""

    def __init__(self, where: Where, reason: str) -> None:
        super().__init__(line(f"{where}: {reason}"))
        self.path = str(where)
        self.reason = reason


@dataclass(frozen=True)
class File:
    """A picture's file: its format as Pillow names it (JPEG, PNG, ...), its size in bytes, and what its EXIF says of
    the camera that took it and the software that wrote it."""

    format: str | None
    bytes: int
    camera: str | None = None
    software: str | None = None


def decode(where: Where) -> Image.Image:
    """The picture at `where`, as in `read`."""
    return read(where)[0]


def read(where: Where) -> tuple[Image.Image, File]:
    """The picture at `where` as RGB, turned upright by its EXIF orientation, and its file; the first frame of several.

    Transparency is put on white, 16-bit and float pictures are scaled to 8 bits, CMYK is converted.
    Raises `PictureError`.
    """
    return read_copy(where, None)[:2]


def read_copy(where: Where, enough: Enough | None) -> tuple[Image.Image, File, tuple[int, int]]:
    """The picture at `where` as in `read`, its file, and the width and height of the whole picture, upright.

    A JPEG may come smaller, by 2, 4 or 8, when the copy has at least the width and height that `enough` makes of those
    of the whole. Raises `PictureError`.
    """
    with _opened(where) as (picture, size):
        picture.seek(0)
        whole = None if enough is None else _drafted(picture, enough)
        picture.load()
        upright = _rgb(_upright(picture))
        return upright, _file(picture, size), whole or upright.size


def _drafted(picture: Image.Image, enough: Enough) -> tuple[int, int] | None:
    """Make a JPEG decode as small as is enough; returns its whole size, upright. None for other formats."""
    if picture.format not in DRAFTED:
        return None
    try:
        whole = _upright_size(picture)
    except Exception:  # as in `_upright`
        whole = picture.size
    least = enough(*whole)
    picture.draft(None, least if whole == picture.size else least[::-1])
    return whole


def measure(where: Where) -> tuple[tuple[int, int], File]:
    """Width and height of the picture at `where`, turned upright, and its file, without decoding it.

    Raises `PictureError`.
    """
    with _opened(where) as (picture, size):
        return _upright_size(picture), _file(picture, size)


def decode_mask(where: Where) -> np.ndarray:
    """The mask at `where` as bool [height, width]: True on the object.

    True where a pixel is above half of 255, or above zero when no pixel of the mask reaches 128 (masks
    that hold 0/1 or class numbers). Of colour masks the brightest channel counts. Raises `PictureError`.
    """
    with _opened(where) as (picture, _):
        picture.load()
        values = np.asarray(picture if picture.mode in ("P", "1") else _rgb(picture)).astype(np.float32)
    if values.ndim == 3:
        values = values.max(axis=2)
    return values > (127 if values.max(initial=0) >= 128 else 0)


@contextmanager
def _opened(where: Where) -> Iterator[tuple[Image.Image, int]]:
    """The picture at `where`, not decoded yet, and the bytes of its file.

    Whatever Pillow raises becomes a `PictureError` with a reason in the user's words.
    """
    size = -1
    try:
        with warnings.catch_warnings(), _place(where).open() as file:
            warnings.simplefilter("ignore")  # Pillow warns about half a bomb and odd EXIF: neither matters
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            with Image.open(file, formats=FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                yield picture, size
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # Pillow's plug-ins raise nearly anything on a damaged file
        raise PictureError(where, _reason(error, empty=size == 0)) from error


def _place(where: Where) -> Place:
    return LocalFile(str(where)) if isinstance(where, str | Path) else where


def _reason(error: BaseException, *, empty: bool) -> str:
    if isinstance(error, MediaError):  # from afar: its own words
        return str(error)
    if isinstance(error, FileNotFoundError):
        return "file not found"
    if isinstance(error, IsADirectoryError):
        return "is a folder, not a picture"
    if isinstance(error, PermissionError):
        return "no permission to read the file"
    if isinstance(error, Image.DecompressionBombError):
        return f"too large: more than {MAX_PIXELS // 1_000_000} megapixels"
    if isinstance(error, UnidentifiedImageError):
        return "empty file (0 bytes)" if empty else "not a picture"
    text = " ".join(str(error).split())
    if "truncated" in text.lower():
        return "truncated picture"
    return f"damaged picture ({type(error).__name__}: {text[:80]})" if text else "damaged picture"


def _file(picture: Image.Image, size: int) -> File:
    try:
        exif = picture.getexif()
    except Exception:  # an unreadable EXIF block is common and harmless
        return File(picture.format, size)
    camera = " ".join(filter(None, (_words(exif.get(MAKE)), _words(exif.get(MODEL)))))
    return File(picture.format, size, camera or None, _words(exif.get(SOFTWARE)))


def _words(value: Any) -> str | None:
    """A text of EXIF without padding and control characters, at most 60 characters; None for anything else."""
    if not isinstance(value, str):
        return None
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())[:60] or None


def _upright_size(picture: Image.Image) -> tuple[int, int]:
    if picture.format == "TIFF":  # Pillow turns these itself while it decodes, and says so beforehand
        return picture.size
    turned = picture.getexif().get(ORIENTATION, 1) in SIDEWAYS
    return (picture.height, picture.width) if turned else picture.size


def _upright(picture: Image.Image) -> Image.Image:
    """Apply the EXIF orientation. An unreadable EXIF block is common and harmless: leave the picture as is."""
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:
        return picture


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in DEEP_MODES:
        return Image.fromarray(_eight_bits(picture)).convert("RGB")
    if picture.has_transparency_data:
        front = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", front.size, WHITE), front).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _eight_bits(picture: Image.Image) -> np.ndarray:
    """A deep grey picture [H, W] on 0..255. Pillow's own conversion clips at 255 and turns it white.

    16-bit values (also those Pillow holds in 32) are divided by 257, floats in 0..1 multiplied by 255;
    anything else has no natural white and is stretched between its smallest and largest value.
    """
    deep = np.asarray(picture)
    blocks = [slice(first, first + ROWS) for first in range(0, len(deep), ROWS)]  # doubles are four times as large
    bounds = [(float(values.min()), float(values.max())) for values in (_finite(deep[block]) for block in blocks)]
    low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    shift, factor = 0.0, 1.0
    if picture.mode == "F" and low >= 0 and high <= 1:
        factor = 255.0
    elif picture.mode == "F" and low >= 0 and high <= 255:
        pass
    elif picture.mode != "F" and low >= 0 and high <= 65535:
        factor = 1 / 257
    else:
        shift, factor = low, 255 / max(high - low, 1e-12)
    grey = np.empty(deep.shape, np.uint8)
    for block in blocks:
        grey[block] = np.rint((_finite(deep[block]) - shift) * factor)
    return grey


def _finite(values: np.ndarray) -> np.ndarray:
    """As float64, with 0 in place of NaN and infinity."""
    return np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def read_pictures(dataset: Dataset, ids: Sequence[int]) -> tuple[list[int], list[Image.Image]]:
    """Those of the samples whose picture can (still) be read, and their pictures."""
    good, pictures = [], []
    for sample in ids:
        path = dataset.picture(sample)
        try:
            if path is not None:
                pictures.append(decode(dataset.at(path)))
                good.append(sample)
        except PictureError:
            continue
    return good, pictures
