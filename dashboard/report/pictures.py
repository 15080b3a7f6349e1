"""The pictures of a report: painted once, then made smaller until the file fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dashboard import colormaps, overlays, tiles
from dashboard.data import Row, Run
from dashboard.evidence.meanmap import MeanMaps
from dashboard.overlays import Look
from dashboard.tiles import MissingPicture

SIDE = 288  # pixels of the longer side of a painted picture
MAP_SIDE = 168
LOOK = Look(opacity=70)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Level:
    """How large a report may be made.

    Attributes:
        interactive: whether the chart library is in it.
        side: pixels of the longer side of a picture; 0 for no pictures at all.
        quality: of JPEG, 1..95.
        most: cases of a row.
    """

    interactive: bool
    side: int
    quality: int
    most: int

    @property
    def line(self) -> str:
        """How pictures were made smaller, in words; empty when they were not."""
        best = LEVELS[0]
        if not self.side:
            return "pictures were left out" if not self.most else "pictures were left out, texts are shown"
        said = []
        if (self.side, self.quality) != (best.side, best.quality):
            said.append(f"pictures recompressed to {self.side} pixels, JPEG quality {self.quality}")
        if self.most < best.most:
            said.append(f"{self.most} instead of {best.most} cases per row")
        return ", ".join(said)


_SIZES = ((288, 86, 8), (240, 80, 8), (208, 74, 8), (176, 66, 8), (160, 58, 6), (144, 50, 4), (128, 42, 4), (96, 36, 2))
LEVELS = (
    *(Level(True, *size) for size in _SIZES[:4]),
    *(Level(False, *size) for size in _SIZES),
    Level(False, 0, 0, 2),
    Level(False, 0, 0, 0),
)
"""From the best to the smallest."""


def paint(
    run: Run, rows: Sequence[Row], relevancy: dict[int, NDArray[np.floating] | None], progress: Progress
) -> list[bytes | str]:
    """A JPEG per row with its relevancy and its box, or why there is none. Rows are painted side by side."""

    def one(row: Row) -> bytes | str:
        try:
            return tiles.large(run, row, relevancy.get(row["sample_id"]), LOOK, SIDE)[0]
        except MissingPicture as problem:
            return " ".join(str(problem).split())

    found: list[bytes | str] = []
    with ThreadPoolExecutor(tiles.WORKERS) as pool:
        for picture in pool.map(one, rows):
            found.append(picture)
            progress(len(found), len(rows))  # from this thread: a page may draw it
    return found


@lru_cache(maxsize=20_000)
def smaller(picture: bytes, side: int, quality: int) -> tuple[bytes, int, int]:
    """A JPEG at most `side` pixels long, its width and its height."""
    with Image.open(BytesIO(picture)) as opened:
        small = opened.convert("RGB")
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        buffer = BytesIO()
        small.save(buffer, "JPEG", quality=quality, optimize=True, subsampling=0 if quality >= 70 else 2)
        return buffer.getvalue(), small.width, small.height


def mean_maps(maps: MeanMaps) -> list[tuple[str, bytes, int, int]]:
    """("members" or "others", JPEG, width, height): both on one scale, every cell a square of one colour."""
    top = float(max(maps.members.max(), maps.others.max())) or 1.0
    return [(name, *_cells(values / top)) for name, values in (("members", maps.members), ("others", maps.others))]


def _cells(shares: NDArray[np.floating]) -> tuple[bytes, int, int]:
    scale = max(MAP_SIDE // max(shares.shape), 1)
    size = (shares.shape[1] * scale, shares.shape[0] * scale)
    picture = Image.fromarray(colormaps.paint(shares, LOOK.colormap)).resize(size, Image.Resampling.NEAREST)
    return overlays.encode(picture, quality=88), *size
