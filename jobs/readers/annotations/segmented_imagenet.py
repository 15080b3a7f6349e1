"""ImageNet-Segmentation (Guillaumin et al., 2014): gtsegs_ijcv.mat, the authors' data, written out as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

from jobs.errors import JobError, one_line
from jobs.readers.annotations.files import existing
from jobs.readers.annotations.masks import MaskFolder
from jobs.readers.annotations.table import Rows


def read_segmented_imagenet(paths: Sequence[str], masks: MaskFolder) -> Rows:
    """`gtsegs_ijcv.mat`: a MATLAB 7.3 (HDF5) file with pictures at /value/img and masks at /value/gt.

    Pictures are written beside the masks, as PNG: they lie in the file undamaged. The file's labels are not read.
    """
    path = existing(paths[0], "file of segmentations")
    found = Rows()
    try:
        with h5py.File(path, "r") as file:
            if "value" not in file or not {"img", "gt"} <= set(file["value"]):
                raise JobError(f"{path.name} has no /value/img and /value/gt: expected gtsegs_ijcv.mat")
            for row in range(len(file["value/img"])):
                picture, mask = _sample(file, row)
                name = f"{row:05d}"
                found.rows.append({
                    "image": _write(picture, masks.folder / "pictures" / f"{name}.png"),
                    **masks.columns(masks.write(name, mask)),
                })  # fmt: skip
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise JobError(f"cannot read {path.name}: {one_line(error, 120)}") from error
    return found


def _sample(file: Any, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture uint8 [height, width, 3] and mask bool [height, width]; MATLAB stores the last axis first."""
    picture = np.asarray(file[file["value/img"][row, 0]]).transpose(2, 1, 0)
    cell = file[file["value/gt"][row, 0]]
    return picture.astype(np.uint8), np.asarray(file[cell[0, 0]]).T > 0


def _write(picture: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path
