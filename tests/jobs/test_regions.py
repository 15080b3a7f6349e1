"""Region features from every kind of file, the unit of their boxes, and everything that can be wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.regions import RegionError, Regions, read_regions

FEATURES = np.arange(12, dtype=np.float32).reshape(3, 4)
PIXELS = np.array([[0, 0, 50, 20], [10, 10, 20, 20], [99, 39, 100, 40]], np.float64)
FRACTIONS = PIXELS / [100, 40, 100, 40]
SIZE = (100, 40)


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "a.npz", **arrays)
    return folder


def read(folder: Path, reference: str | None = "a.npz", size: tuple[int, int] | None = None) -> Regions:
    return read_regions(folder, reference, 4, size)


def reason(folder: Path, reference: str | None = "a.npz", size: tuple[int, int] | None = None) -> str:
    with pytest.raises(RegionError) as caught:
        read(folder, reference, size)
    assert "\n" not in caught.value.reason
    return caught.value.reason


@pytest.mark.parametrize(
    ("arrays", "size"),
    [
        ({"boxes": PIXELS, "width": 100, "height": 40}, None),
        ({"boxes": PIXELS, "width": np.array([100]), "height": np.float32(40)}, (3, 3)),  # the file's size counts
        ({"boxes": PIXELS}, SIZE),
        ({"boxes": FRACTIONS}, None),
        ({"boxes": FRACTIONS + 5e-4}, SIZE),  # rounding
        ({"normalized_boxes": FRACTIONS, "boxes": PIXELS, "width": 7, "height": 7}, None),
    ],
)
def test_boxes_become_fractions(tmp_path: Path, arrays: dict[str, Any], size: tuple[int, int] | None) -> None:
    regions = read(npz(tmp_path, features=FEATURES, **arrays), size=size)
    assert regions.features.dtype == np.float32 and (regions.features == FEATURES).all()
    assert np.abs(regions.boxes - FRACTIONS).max() < 1e-3 and regions.boxes.max() <= 1
    in_file = (int(np.ravel(arrays["width"])[0]), int(arrays["height"])) if "width" in arrays else None
    assert regions.size == (size or in_file)


@pytest.mark.parametrize(
    ("arrays", "size", "said"),
    [
        ({"boxes": PIXELS}, None, "boxes are in pixels, and neither width and height nor a picture tell of what size"),
        ({"boxes": FRACTIONS, "width": 100, "height": 40}, None, "name them normalized_boxes"),
        ({"boxes": FRACTIONS * 1.4}, SIZE, "neither fractions nor pixels; give width and height"),
        ({"boxes": PIXELS, "width": 100}, SIZE, "a width or a height, but not both"),
        ({"boxes": PIXELS, "width": 0, "height": 40}, None, "are no size of a picture"),
        ({"boxes": PIXELS}, (50, 40), "boxes reach beyond the picture"),
        ({"boxes": PIXELS[:, [2, 1, 0, 3]]}, SIZE, "some end before they begin"),
        ({"boxes": PIXELS[:2]}, SIZE, "3 features but 2 boxes"),
        ({"boxes": PIXELS[:, :3]}, SIZE, "boxes have shape [3, 3], expected [3, 4]"),
        ({"boxes": PIXELS * np.nan}, SIZE, "boxes are not finite"),
        ({"regions": PIXELS}, SIZE, "the features file has no 'boxes', only features, regions"),
        ({"boxes": PIXELS, "features": FEATURES + np.inf}, SIZE, "features are not finite"),
        ({"boxes": PIXELS, "features": FEATURES[:, :3]}, SIZE, "features are 3 wide, the model reads 4"),
        ({"boxes": PIXELS, "features": FEATURES[0]}, SIZE, "features have shape [4], expected [regions, 4]"),
        ({"boxes": PIXELS[:0], "features": FEATURES[:0]}, SIZE, "features have shape [0, 4]"),
        ({"boxes": PIXELS, "features": np.array(["a", "b", "c"])}, SIZE, "features are no table of numbers"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, arrays: dict[str, Any], size: Any, said: str) -> None:
    assert said in reason(npz(tmp_path, **{"features": FEATURES, **arrays}), size=size)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"no archive")
    (tmp_path / "a.h5").write_bytes(b"no file")
    assert reason(tmp_path).startswith("features unreadable (")
    assert reason(tmp_path, "a.h5").startswith("features unreadable (")
    assert reason(tmp_path, "b.npz") == reason(tmp_path, "b.h5#x") == "features file not found"
    assert reason(tmp_path, None) == "no features"
    assert "cannot be read: give .npz, .h5" in reason(tmp_path, "a.pt")
    np.savez(tmp_path / "object.npz", features=np.array([{}], object), boxes=PIXELS)
    assert reason(tmp_path, "object.npz").startswith("features unreadable (")  # a pickle is never loaded


def test_hdf5_groups(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "all.h5", "w") as file:
        group = file.create_group("val/7")
        group["features"], group["boxes"] = FEATURES, PIXELS
        group.attrs["width"], group.attrs["height"] = SIZE
        file["features"], file["normalized_boxes"] = FEATURES, FRACTIONS
    for reference in ("all.h5#val/7", "all.h5"):
        assert np.abs(read(tmp_path, reference).boxes - FRACTIONS).max() < 1e-6
    assert reason(tmp_path, "all.h5#val/8") == "the HDF5 file has no such group"
    assert "names an array" in reason(tmp_path, "all.h5#features")
    assert "has no 'features', only 7" in reason(tmp_path, "all.h5#val")


@pytest.mark.parametrize("rows_per_group", [2, 50])
def test_rows_of_a_parquet(tmp_path: Path, rows_per_group: int) -> None:
    tables = [FEATURES[: 1 + i % 3] + i for i in range(7)]
    columns = {
        "features": [*(table.tolist() for table in tables), None, [[1.0]]],
        "boxes": [*(FRACTIONS[: len(table)].tolist() for table in tables), None, [[0.0, 0.0, 1.0, 1.0]]],
    }
    pq.write_table(pa.table(columns), tmp_path / "r.parquet", row_group_size=rows_per_group)
    for i, table in enumerate(tables):
        assert (read(tmp_path, f"r.parquet#{i}").features == table).all()
    assert reason(tmp_path, "r.parquet#7") == reason(tmp_path, "r.parquet#99") == "no features"
    assert reason(tmp_path, "r.parquet#8") == "features are 1 wide, the model reads 4"
    assert "need the number of the row" in reason(tmp_path, "r.parquet#x")
