"""Pictures ready for the page: thumbnails and painted overlays, kept in memory and on disk.

Files lie in ``<store>/cache``; the folder may be deleted at any time and may be read-only, then
nothing is kept on disk. A key holds everything the picture depends on: the run (and when it was
made), the sample, the target, the look, the size and time of the source file, and the painter.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dashboard import overlays
from dashboard.boxes import Box, RegionMap
from dashboard.data import Row, Run
from dashboard.overlays import Look, View
from storage.media import MediaError, OutsideRoot, Place, inside

TILE = 320  # pixels of a gallery tile, enough for a sharp tile on a dense screen
# Columns of a row that its tile and what stands below it come from.
NEEDED = ("uri", "width", "height", "view_x0", "view_y0", "view_x1", "view_y1", "grid_h", "grid_w", "regions", "box",
          "query", "label", "text", "predicted", "confidence", "correct", "score", "word")  # fmt: skip
WORKERS = min(4, os.cpu_count() or 1)


class MissingPicture(Exception):
    """The file of a sample cannot be shown; the message is a few words for a tile."""


@dataclass(frozen=True)
class Cache:
    """Bytes by key in a folder. Nothing here raises: a cache that cannot be used is no error."""

    folder: Path

    def get(self, key: str) -> bytes | None:
        """The bytes, or None."""
        try:
            return self._path(key).read_bytes()
        except OSError:
            return None

    def put(self, key: str, data: bytes) -> None:
        """Keep the bytes if that is possible."""
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(name, path)
        except OSError:
            return

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.jpg"


def source(run: Run, uri: str) -> Place:
    """Where the picture of a sample lies, a file or a member of one.

    Raises MissingPicture when the uri leaves the data folder, or is a URL of a host that the run's dataset never named.
    """
    dataset = run.record.dataset
    try:
        return inside(
            str(dataset.get("root") or "."),
            uri,
            dataset.get("origins") or (),
            dataset.get("allowed") or (),
            links=dataset.get("links") is not False,  # earlier runs do not say: as it was
        )
    except OutsideRoot:
        raise MissingPicture("outside the data folder") from None


def opened(place: Place) -> BinaryIO:
    """The bytes of a picture. Raises MissingPicture."""
    try:
        return place.open()
    except FileNotFoundError:
        raise MissingPicture("file not found") from None
    except MediaError as problem:
        raise MissingPicture(str(problem)) from None
    except (OSError, ValueError) as problem:
        raise MissingPicture(f"cannot be read\n({type(problem).__name__})") from None


def view_of(row: Row) -> View:
    """The rectangle of the picture that the tokens cover; the whole picture when the row does not tell."""
    edges = [row.get(f"view_{edge}") for edge in ("x0", "y0", "x1", "y1")]
    if any(e is None for e in edges):
        return overlays.WHOLE
    x0, y0, x1, y1 = (float(e) for e in edges if e is not None)
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else overlays.WHOLE


def laid_out(run: Run, row: Row, relevancy: NDArray[np.floating] | None) -> NDArray[np.floating] | RegionMap | None:
    """A flat image map as [rows, columns], or over the regions of the sample; None when it forms neither."""
    if relevancy is None:
        return None
    regions = regions_of(row)
    if regions:
        boxes = np.asarray(regions, dtype=np.float64).reshape(-1, 4)
        return RegionMap(boxes, relevancy) if len(boxes) == relevancy.size else None
    shape = overlays.grid_shape(relevancy.size, grid_of(row) or run.grid)
    return relevancy.reshape(shape) if shape else None


def regions_of(row: Row) -> list[float] | None:
    """The regions of a sample, x0, y0, x1, y1 of each; an earlier run may have metadata of this name."""
    regions = row.get("regions")
    return regions if isinstance(regions, list) else None


def grid_of(row: Row) -> tuple[int, int] | None:
    """Rows and columns of a sample's own map; an earlier run may have metadata of these names."""
    height, width = row.get("grid_h"), row.get("grid_w")
    return (height, width) if isinstance(height, int) and isinstance(width, int) and height and width else None


def box_of(row: Row) -> Box | None:
    """The box of a detection, or of the cue of a suspect."""
    box = row.get("box")
    if not isinstance(box, list) or len(box) != 4:  # an earlier run may have metadata of this name
        return None
    x0, y0, x1, y1 = (float(edge) for edge in box)
    return x0, y0, x1, y1


def gallery(run: Run, rows: Sequence[Row], look: Look, theme: str = "light") -> list[bytes]:
    """A square JPEG tile per row; a tile that says so where the picture cannot be shown.

    ``theme`` 'light' or 'dark' is the ground of pictures that are no squares.
    """
    cache = Cache(run.store / "cache")
    keys = [_key(run, row, look, theme) for row in rows]
    found = [cache.get(key) for key in keys]
    missing = [row for row, data in zip(rows, found, strict=True) if data is None]
    if not missing:
        return [data for data in found if data is not None]
    maps = _maps(run, missing, look)

    def make(pair: tuple[str, Row]) -> bytes:
        key, row = pair
        data, keep = _tile(run, row, maps.get((row["sample_id"], row["target"])), look, theme)
        if keep:
            cache.put(key, data)
        return data

    todo = [(key, row) for key, row, data in zip(keys, rows, found, strict=True) if data is None]
    with ThreadPoolExecutor(WORKERS) as pool:
        made = iter(list(pool.map(make, todo)))
    return [data if data is not None else next(made) for data in found]


def large(
    run: Run, row: Row, relevancy: NDArray[np.floating] | None, look: Look, side: int
) -> tuple[bytes, tuple[int, int]]:
    """The painted picture of a sample as JPEG, and its (width, height). Raises MissingPicture."""
    picture = _picture(run, row, side)
    painted = overlays.blend(picture, laid_out(run, row, relevancy), view_of(row), look, box_of(row))
    return overlays.encode(painted, quality=92), painted.size


def _maps(run: Run, rows: Sequence[Row], look: Look) -> Any:
    wanted = [(row["sample_id"], row["target"]) for row in rows]
    return {} if look.mode == "original" else run.maps(wanted, "image")


def _tile(run: Run, row: Row, relevancy: NDArray[np.floating] | None, look: Look, theme: str) -> tuple[bytes, bool]:
    """The tile, and whether it may be kept."""
    try:
        picture = _thumbnail(run, row)
    except MissingPicture as problem:
        return overlays.encode(overlays.notice(f"No picture\n{problem}", TILE, theme)), False
    painted = overlays.blend(picture, laid_out(run, row, relevancy), view_of(row), look, box_of(row))
    return overlays.encode(overlays.on_square(painted, TILE, theme)), True


def _thumbnail(run: Run, row: Row) -> Any:
    """The upright picture at tile size, from the cache when it is there."""
    cache, key = Cache(run.store / "cache"), _key(run, row, None, "")
    data = cache.get(key)
    if data is None:
        picture = _picture(run, row, TILE)
        cache.put(key, overlays.encode(picture, quality=94))
        return picture
    return overlays.decode(data)


def _picture(run: Run, row: Row, side: int) -> Any:
    """The upright picture; an empty ground where region features came without one. Raises MissingPicture."""
    try:
        return _open(source(run, str(row["uri"])), side)
    except MissingPicture:
        if not regions_of(row):
            raise
        known = row.get("width") and row.get("height")
        return overlays.empty(side, (int(row["width"]), int(row["height"])) if known else None)


def is_there(run: Run, row: Row) -> bool:
    """Whether the file of the picture exists."""
    try:
        return source(run, str(row["uri"])).is_there()
    except (MissingPicture, OSError, ValueError):
        return False


def _open(place: Place, side: int) -> Any:
    with opened(place) as file:
        return _upright(file, side)


def _upright(file: BinaryIO, side: int) -> Any:
    try:
        return overlays.open_upright(file, side)
    except Exception as problem:  # Pillow raises many kinds for a broken file; none may break the page
        raise MissingPicture(f"cannot be read\n({type(problem).__name__})") from None


def _key(run: Run, row: Row, look: Look | None, theme: str) -> str:
    """Everything a tile depends on; without a look, the thumbnail under it."""
    try:
        stamp = source(run, str(row["uri"])).stamp()
    except (OSError, ValueError, MissingPicture):
        stamp = ()
    painted: tuple[Any, ...] = ("thumbnail",)
    if look is not None:
        painted = (theme, row["target"], look.mode, box_of(row))
        painted += (look.colormap,) if look.mode != "original" else ()
        painted += (look.opacity,) if look.mode == "overlay" else ()
    parts = (
        overlays.PAINTER_VERSION,
        run.id,
        run.record.created_at,
        row["sample_id"],
        row["uri"],
        stamp,
        TILE,
        *painted,
    )
    return hashlib.sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()[:40]
