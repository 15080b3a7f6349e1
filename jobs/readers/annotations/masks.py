"""Masks that say three things of a pixel: on the object, not on it, or void (not to be counted).

A manifest's mask is a picture of which only the object is read (`jobs.pictures.decode_mask`: above half of 255).
Written here, object is 255, background 0 and void 64, which that reading takes for background; the manifest's column
`mask_void` holds 64 for whoever wants to leave void pixels out. A mask without an object is not written at all.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from jobs.errors import JobError, one_line
from jobs.pictures import decode_mask
from storage.media import LocalFile, Place

OBJECT, VOID = 255, 64
VOID_COLUMN = "mask_void"


@dataclass
class MaskFolder:
    """Where a reader puts the masks it makes; the folder appears with the first of them."""

    folder: Path
    written: int = 0
    empty: int = 0

    def write(self, name: str, on_object: np.ndarray, void: np.ndarray | None = None) -> Path | None:
        """Write one mask, bool [height, width] each, as `name`.png; None when it has no object."""
        if not on_object.any():
            self.empty += 1
            return None
        values = np.where(on_object, OBJECT, 0).astype(np.uint8)
        if void is not None:
            values[void & ~on_object] = VOID
        path = self.folder / f"{name}.png"
        if not os.path.normpath(path).startswith(os.path.normpath(self.folder) + os.sep):
            raise JobError(f"the annotations name a picture '{name}': a mask for it would lie outside {self.folder}")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(path, optimize=False)
        self.written += 1
        return path

    def columns(self, path: Path | None) -> dict[str, Path | int | None]:
        """The manifest's columns for a mask of this folder."""
        return {"mask": path, VOID_COLUMN: None if path is None else VOID}


def read_void_mask(where: Place | Path, void: int | None) -> tuple[np.ndarray, np.ndarray | None]:
    """(object, void) of a manifest's mask, bool [height, width]; `void` is its value in `mask_void`, None: no void.

    Raises `PictureError` for a file that is no picture.
    """
    on_object = decode_mask(where)
    if void is None:
        return on_object, None
    place = LocalFile(str(where)) if isinstance(where, Path) else where
    with place.open() as file, Image.open(file) as picture:
        values = np.asarray(picture.convert("L"))
    return on_object, values == int(void)


def read_numbers(path: Path) -> np.ndarray:
    """The values of a label picture as they are stored, [height, width] (palette, grey) or [height, width, 3].

    A palette is not looked up: its indices are the classes. Raises `JobError`.
    """
    try:
        with Image.open(path) as picture:
            return np.asarray(picture if picture.mode in ("P", "L", "1", "I;16", "I") else picture.convert("RGB"))
    except Exception as error:  # Pillow's plug-ins raise nearly anything on a damaged file
        raise JobError(f"cannot read the mask {path}: {one_line(error, 100)}") from error
