"""Region features and their boxes of one sample, from an `.npz`, an HDF5 group or a row of a Parquet manifest.

What can be wrong with them ends in a `RegionError` with a short reason: one bad file costs one sample.

The unit of the boxes follows from this rule alone (x0, y0, x1, y1 in every case):

1. `normalized_boxes` are fractions of the upright picture's width and height.
2. `boxes` beside `width` and `height` are pixels of a picture of that size. Boxes that then all lie within 0..1
   contradict it and are refused.
3. `boxes` alone are fractions when no value is above 1 (a thousandth is forgiven), and pixels of the sample's own
   picture when some value is above 2. Anything between could be either and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from jobs.coverage import parse_boxes
from jobs.errors import one_line, printable

NAMES = ("features", "boxes", "normalized_boxes", "width", "height")
ROUNDING = 1e-3  # so far above 1 a fraction may be
SMALLEST_PIXELS = 2.0  # no detector's boxes all lie in the first two pixels of a picture

Raw = dict[str, Any]
Size = tuple[int, int]  # width, height


class RegionError(Exception):
    """One sample's regions cannot be used. `reason` is short and the same for all samples with the same fault."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Regions:
    """K regions: `features` float32 [K, D], `boxes` float32 [K, 4] as fractions of the upright picture.

    `size` is that of the picture: its own, or what the file says, or None.
    """

    features: np.ndarray
    boxes: np.ndarray
    size: Size | None = None


def read_regions(root: Path, reference: str | None, width: int, size: Size | None) -> Regions:
    """The regions that `reference` names: `a.npz`, `all.h5#group/of/a` or `rows.parquet#12`, relative to `root`.

    `width` is that of the model's features, `size` that of the upright picture where it is known.
    Raises `RegionError`.
    """
    if reference is None:
        raise RegionError("no features")
    name, _, key = reference.rpartition("#") if "#" in reference else (reference, "", "")
    path = root / name
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise RegionError(f"features of type {path.suffix or 'unknown'} cannot be read: give {', '.join(READERS)}")
    try:
        raw = read(path, key)
    except RegionError:
        raise
    except FileNotFoundError as error:
        raise RegionError("features file not found") from error
    except Exception as error:  # zip, HDF5 and Parquet libraries raise nearly anything on a damaged file
        raise RegionError(f"features unreadable ({type(error).__name__}: {one_line(error, 80)})") from error
    features = _features(raw, width)
    given = _given_size(raw)
    return Regions(features, _boxes(raw, len(features), given, size), size or given)


def _npz(path: Path, key: str) -> Raw:
    with np.load(path, allow_pickle=False) as content:
        if isinstance(content, np.ndarray):
            raise RegionError("features file holds one array, expected 'features' and 'boxes'")
        return _named({name: content[name] for name in content.files if name in NAMES}, content.files)


def _hdf5(path: Path, key: str) -> Raw:
    import h5py

    if not path.is_file():
        raise FileNotFoundError(path)
    with h5py.File(path, "r") as file:
        if key and key not in file:
            raise RegionError("the HDF5 file has no such group")
        group = file[key] if key else file
        if not isinstance(group, h5py.Group):
            raise RegionError("the HDF5 key names an array, expected a group with 'features' and 'boxes'")
        found = {name: np.asarray(group[name]) for name in NAMES if name in group}
        sizes = {name: group.attrs[name] for name in ("width", "height") if name in group.attrs}
        return _named({**sizes, **found}, list(group))


def _parquet(path: Path, key: str) -> Raw:
    if not key.isdecimal():
        raise RegionError("features in a Parquet file need the number of the row, as in rows.parquet#12")
    group, first = _row_group(str(path), path.stat().st_mtime_ns, int(key))
    columns = _group_columns(str(path), path.stat().st_mtime_ns, group)
    row = {name: column[int(key) - first].as_py() for name, column in columns.items()}
    if row.get("features") is None:
        raise RegionError("no features")
    return _named({name: value for name, value in row.items() if value is not None}, list(columns))


@lru_cache(maxsize=8)
def _row_starts(path: str, modified: int) -> tuple[int, ...]:
    metadata = pq.read_metadata(path)
    counts = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    return tuple(np.cumsum([0, *counts]).tolist())


def _row_group(path: str, modified: int, row: int) -> tuple[int, int]:
    """The row group that holds `row`, and its first row."""
    starts = _row_starts(path, modified)
    if row >= starts[-1]:
        raise RegionError("no features")
    group = int(np.searchsorted(starts, row, side="right")) - 1
    return group, starts[group]


@lru_cache(maxsize=2)  # samples come in order: the next one is nearly always in the same group
def _group_columns(path: str, modified: int, group: int) -> dict[str, Any]:
    file = pq.ParquetFile(path)
    names = [name for name in ("features", "boxes", "normalized_boxes") if name in file.schema_arrow.names]
    table = file.read_row_group(group, columns=names, use_threads=False)  # a forked worker has none of Arrow's threads
    return {name: table[name].combine_chunks() for name in names}


READERS: dict[str, Callable[[Path, str], Raw]] = {
    ".npz": _npz,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".parquet": _parquet,
}


def _named(raw: Raw, found: list[str]) -> Raw:
    """`raw` when it has what is needed; else a reason that shows which names there are."""
    boxes = "boxes" in raw or "normalized_boxes" in raw
    if "features" in raw and boxes:
        return raw
    lacking = "features" if "features" not in raw else "boxes"
    names = printable(", ".join(sorted(found)[:6]))
    raise RegionError(f"the features file has no '{lacking}', only {names or 'nothing'}")


def _numbers(value: Any, what: str) -> np.ndarray:
    """A float32 array; RegionError when rows differ in length or hold no numbers."""
    try:
        return np.asarray(parse_boxes(value) if isinstance(value, str) else value, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise RegionError(f"{what} are no table of numbers") from error


def _features(raw: Raw, width: int) -> np.ndarray:
    features = _numbers(raw["features"], "features")
    if features.ndim != 2 or not len(features):
        raise RegionError(f"features have shape {list(features.shape)}, expected [regions, {width}]")
    if features.shape[1] != width:
        raise RegionError(f"features are {features.shape[1]} wide, the model reads {width}")
    if not np.isfinite(features).all():
        raise RegionError("features are not finite (NaN or infinity)")
    return features


def _boxes(raw: Raw, count: int, given: Size | None, picture: Size | None) -> np.ndarray:
    named = raw.get("normalized_boxes")
    boxes = _numbers(raw["boxes"] if named is None else named, "boxes")
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise RegionError(f"boxes have shape {list(boxes.shape)}, expected [{count}, 4]")
    if len(boxes) != count:
        raise RegionError(f"{count} features but {len(boxes)} boxes")
    if not np.isfinite(boxes).all():
        raise RegionError("boxes are not finite (NaN or infinity)")
    fractions = boxes if named is not None else _fractions(boxes, given, picture)
    if float(fractions.max()) > 1 + 0.05 or float(fractions.min()) < -0.05:
        raise RegionError("boxes reach beyond the picture")
    if (fractions[:, 2:] < fractions[:, :2]).any():
        raise RegionError("boxes are not x0, y0, x1, y1: some end before they begin")
    return fractions.clip(0, 1).astype(np.float32)


def _given_size(raw: Mapping[str, Any]) -> Size | None:
    """`width` and `height` of the file; RegionError for one without the other."""
    given = [raw.get("width"), raw.get("height")]
    if all(value is None for value in given):
        return None
    if any(value is None for value in given):
        raise RegionError("the features file has a width or a height, but not both")
    try:
        width, height = (float(np.asarray(value).reshape(-1)[0]) for value in given)
    except (ValueError, TypeError, IndexError) as error:
        raise RegionError("width and height of the features file are no numbers") from error
    if not (1 <= width < np.inf and 1 <= height < np.inf):
        raise RegionError("width and height of the features file are no size of a picture")
    return round(width), round(height)


def _fractions(boxes: np.ndarray, given: Size | None, picture: Size | None) -> np.ndarray:
    """Boxes as fractions, by the rule at the top of this file."""
    highest = float(boxes.max())
    if given is None and highest <= 1 + ROUNDING:
        return boxes
    if highest <= 1 + ROUNDING:
        raise RegionError("boxes lie within 0..1 although width and height are given: name them normalized_boxes")
    if given is None and highest <= SMALLEST_PIXELS:
        raise RegionError("boxes reach a little above 1: neither fractions nor pixels; give width and height")
    size = given or picture
    if size is None:
        raise RegionError("boxes are in pixels, and neither width and height nor a picture tell of what size")
    return boxes / np.array([*size, *size], np.float32)
