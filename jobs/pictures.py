"""Decoding picture files into upright RGB, and masks into booleans.

Every way in which a file can be bad ends in a `PictureError` with a short reason, so that one broken
file costs one sample and never the run.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

if TYPE_CHECKING:
    from jobs.readers import Dataset

# fmt: off
EXTENSIONS = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".tga",
})
# fmt: on
MAX_PIXELS = 178_956_970  # where Pillow itself refuses: a bomb unpacks to more memory than the machine has
WHITE = (255, 255, 255, 255)
ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)  # of EXIF
MAKE, MODEL, SOFTWARE = 0x010F, 0x0110, 0x0131
DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")

ImageFile.LOAD_TRUNCATED_IMAGES = False  # half a picture would be explained as if it were whole


class PictureError(Exception):
    """One picture file cannot be used. `reason` is short and the same for all files with the same fault."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


@dataclass(frozen=True)
class File:
    """A picture's file: its format as Pillow names it (JPEG, PNG, ...), its size in bytes, and what its EXIF says of
    the camera that took it and the software that wrote it."""

    format: str | None
    bytes: int
    camera: str | None = None
    software: str | None = None


def decode(path: str | Path) -> Image.Image:
    """The picture in `path`, as in `read`."""
    return read(path)[0]


def read(path: str | Path) -> tuple[Image.Image, File]:
    """The picture in `path` as RGB, turned upright by its EXIF orientation, and its file; the first frame of several.

    Transparency is put on white, 16-bit and float pictures are scaled to 8 bits, CMYK is converted.
    Raises `PictureError`.
    """
    with _reasons(path), Image.open(path) as picture:
        _check_size(path, picture)
        picture.seek(0)
        picture.load()
        return _rgb(_upright(picture)), _file(path, picture)


def measure(path: str | Path) -> tuple[tuple[int, int], File]:
    """Width and height of the picture in `path`, turned upright, and its file, without decoding it.

    Raises `PictureError`.
    """
    with _reasons(path), Image.open(path) as picture:
        _check_size(path, picture)
        turned = picture.getexif().get(ORIENTATION, 1) in SIDEWAYS
        return (picture.height, picture.width) if turned else picture.size, _file(path, picture)


def decode_mask(path: str | Path) -> np.ndarray:
    """The mask in `path` as bool [height, width]: True on the object.

    True where a pixel is above half of 255, or above zero when no pixel of the mask reaches 128 (masks
    that hold 0/1 or class numbers). Of colour masks the brightest channel counts. Raises `PictureError`.
    """
    with _reasons(path), Image.open(path) as picture:
        _check_size(path, picture)
        picture.load()
        values = np.asarray(picture if picture.mode in ("P", "1") else _rgb(picture)).astype(np.float32)
    if values.ndim == 3:
        values = values.max(axis=2)
    return values > (127 if values.max(initial=0) >= 128 else 0)


@contextmanager
def _reasons(path: str | Path) -> Iterator[None]:
    """Turn whatever Pillow raises into a `PictureError` with a reason in the user's words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about half a bomb and odd EXIF: neither matters
            yield
    except PictureError:
        raise
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # Pillow's plug-ins raise nearly anything on a damaged file
        raise PictureError(path, _reason(Path(path), error)) from error


def _reason(path: Path, error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "file not found"
    if isinstance(error, IsADirectoryError):
        return "is a folder, not a picture"
    if isinstance(error, PermissionError):
        return "no permission to read the file"
    if isinstance(error, Image.DecompressionBombError):
        return f"too large: more than {MAX_PIXELS // 1_000_000} megapixels"
    if isinstance(error, UnidentifiedImageError):
        return "empty file (0 bytes)" if path.stat().st_size == 0 else "not a picture"
    text = " ".join(str(error).split())
    if "truncated" in text.lower():
        return "truncated picture"
    return f"damaged picture ({type(error).__name__}: {text[:80]})" if text else "damaged picture"


def _file(path: str | Path, picture: Image.Image) -> File:
    size = Path(path).stat().st_size
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


def _check_size(path: str | Path, picture: Image.Image) -> None:
    if picture.width * picture.height > MAX_PIXELS:
        raise PictureError(path, f"too large: more than {MAX_PIXELS // 1_000_000} megapixels")


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
    values = np.nan_to_num(np.asarray(picture).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if picture.mode == "F" and low >= 0 and high <= 1:
        values = values * 255
    elif picture.mode == "F" and low >= 0 and high <= 255:
        pass
    elif picture.mode != "F" and low >= 0 and high <= 65535:
        values = values / 257
    else:
        values = (values - low) * (255 / max(high - low, 1e-12))
    return np.rint(values).astype(np.uint8)


def read_pictures(dataset: Dataset, ids: Sequence[int]) -> tuple[list[int], list[Image.Image]]:
    """Those of the samples whose picture can (still) be read, and their pictures."""
    good, pictures = [], []
    for sample in ids:
        path = dataset.picture(sample)
        try:
            if path is not None:
                pictures.append(decode(dataset.root / path))
                good.append(sample)
        except PictureError:
            continue
    return good, pictures
