"""Folders of masks that are named as the pictures are: ImageNet-S, and any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from jobs.errors import JobError
from jobs.readers.annotations.files import existing, pictures_below
from jobs.readers.annotations.masks import MaskFolder, read_numbers
from jobs.readers.annotations.table import Rows

IGNORED = 1000  # in ImageNet-S


def read_masks(paths: Sequence[str], masks: MaskFolder) -> Rows:
    """`IMAGES MASKS`: every picture with the mask of the same path and name, whatever its extension.

    Masks are used where they lie and read as any manifest's (`jobs.pictures.decode_mask`). The first folder is the
    class where there is one.
    """
    pictures, found_masks = _both(paths)
    found = Rows()
    for name, picture in pictures.items():
        mask = found_masks.get(name)
        found.skipped["picture without a mask (kept)"] += mask is None
        found.rows.append({"image": picture, "label": _class(name), "mask": mask})
    found.skipped["mask without a picture"] = len(found_masks.keys() - pictures.keys())
    return found


def read_imagenet_s(paths: Sequence[str], masks: MaskFolder) -> Rows:
    """`VALIDATION VALIDATION-SEGMENTATION`: pictures in folders of wnids, and masks in the same.

    A pixel's class is R + 256 G; 0 is none and 1000 is ignored (void). The object is whatever has a class;
    `mask_classes` names them. Pictures without a mask are left out: the validation folder of ImageNet has more.
    """
    pictures, found_masks = _both(paths)
    found = Rows()
    for name, path in found_masks.items():
        picture = pictures.get(name)
        if picture is None:
            found.skipped["mask without a picture"] += 1
            continue
        numbers, void = read_imagenet_s_mask(path)
        columns = masks.columns(masks.write(name, numbers > 0, void))
        classes = np.unique(numbers[numbers > 0]).tolist()
        found.rows.append({"image": picture, "label": _class(name), **columns, "mask_classes": classes or None})
    return found


def read_imagenet_s_mask(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(classes int [height, width], void) of a mask of ImageNet-S; classes are 0 where void. Raises `JobError`."""
    colours = read_numbers(path)
    if colours.ndim != 3:
        raise JobError(f"the mask {path} is not of ImageNet-S: expected colours, with the class as R + 256 G")
    numbers = colours[..., 0].astype(np.int64) + 256 * colours[..., 1].astype(np.int64)
    void = numbers == IGNORED
    return np.where(void, 0, numbers), void


def _class(name: str) -> str | None:
    parts = PurePosixPath(name).parts
    return parts[0] if len(parts) > 1 else None


def _both(paths: Sequence[str]) -> tuple[dict[str, Path], dict[str, Path]]:
    folders = [
        existing(path, f"{what} folder", folder=True) for path, what in zip(paths, ("picture", "mask"), strict=True)
    ]
    pictures, masks = (pictures_below(folder) for folder in folders)
    if not pictures.keys() & masks.keys():
        one, other = next(iter(pictures)), next(iter(masks))
        raise JobError(f"no mask has the name of a picture: {folders[0]} has '{one}', {folders[1]} has '{other}'")
    return pictures, masks
