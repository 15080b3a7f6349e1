"""What is measured of pictures while they are decoded: their properties, and their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from PIL import Image

from engine.properties import PROPERTIES, SIDE, measure
from jobs.pictures import File

REDUCING_GAP = 1.5  # of Pillow: reduces by a whole factor first and resamples the rest; twice as fast, nearly as exact

Columns = dict[str, pa.Array]


@dataclass(frozen=True)
class Facts:
    """Of B samples: properties float32 [B, P] as `PROPERTIES` names them, and files. NaN and None without a picture."""

    properties: np.ndarray
    files: list[File | None]

    @classmethod
    def of(cls, found: Sequence[tuple[np.ndarray | None, File | None]]) -> Facts:
        """From the properties [P] and the file of each sample."""
        nothing = np.full(len(PROPERTIES), np.nan, np.float32)
        rows = [nothing if properties is None else properties for properties, _ in found]
        return cls(np.stack(rows), [file for _, file in found])

    def taken(self, rows: np.ndarray) -> Facts:
        """The samples at positions `rows`."""
        return Facts(self.properties[rows], [self.files[row] for row in rows])

    def columns(self) -> Columns:
        """Columns of the store, null where nothing is known."""
        names = {name: self.properties[:, i] for i, name in enumerate(PROPERTIES)}
        return {
            **{name: pa.array(values, pa.float32(), from_pandas=True) for name, values in names.items()},
            "file_format": pa.array([file and file.format for file in self.files], pa.string()),
            "file_bytes": pa.array([file and file.bytes for file in self.files], pa.int64()),
            "camera": pa.array([file and file.camera for file in self.files], pa.string()),
            "software": pa.array([file and file.software for file in self.files], pa.string()),
        }


def properties_of(picture: Image.Image) -> np.ndarray:
    """The properties float32 [P] of an RGB picture, measured on its thumbnail."""
    width, height = picture.size
    long = max(width, height)
    if long > SIDE:
        size = (max(1, round(width * SIDE / long)), max(1, round(height * SIDE / long)))
        picture = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
    found = measure(np.asarray(picture))
    return np.array([found[name] for name in PROPERTIES], np.float32)
