"""Pascal VOC: boxes from Annotations/*.xml, masks from SegmentationClass/*.png, lists from ImageSets/."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jobs.errors import JobError, one_line, unknown
from jobs.readers.annotations.files import existing
from jobs.readers.annotations.masks import MaskFolder, read_numbers
from jobs.readers.annotations.table import Rows

VOID = 255  # the outlines, and what was too hard to tell
SETS = ("Segmentation", "Main")


def read_voc(paths: Sequence[str], masks: MaskFolder) -> Rows:
    """`VOC2012 [SPLIT]`: one row per picture of the split (train, val, trainval), or of all that have an xml file.

    `label` is the class where there is only one in the picture. The mask joins all objects of SegmentationClass (else
    SegmentationObject); pictures that were not segmented have none.
    """
    root = existing(paths[0], "VOC folder", folder=True)
    pictures = existing(root / "JPEGImages", "picture folder", folder=True)
    found = Rows()
    for name in _names(root, paths[1] if len(paths) > 1 else None):
        picture = pictures / f"{name}.jpg"
        if not picture.is_file():
            found.skipped["no picture"] += 1
            continue
        boxes, classes = _objects(root / "Annotations" / f"{name}.xml")
        kinds = sorted(set(classes))
        found.rows.append(
            {
                "image": picture,
                "label": kinds[0] if len(kinds) == 1 else None,
                "boxes": boxes or None,
                **masks.columns(_mask(root, name, masks)),
                "categories": classes or None,
            }
        )
    return found


def read_voc_mask(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(numbers, void) of a SegmentationClass or SegmentationObject picture, [height, width]; numbers are 0 where void.

    Raises `JobError`.
    """
    numbers = read_numbers(path)
    if numbers.ndim != 2:
        raise JobError(f"the mask {path} has colours, expected a palette or grey picture whose values are classes")
    void = numbers == VOID
    return np.where(void, 0, numbers), void


def _names(root: Path, split: str | None) -> list[str]:
    if split is None:
        names = sorted(path.stem for path in (root / "Annotations").glob("*.xml"))
        if not names:
            raise JobError(f"no Annotations/*.xml in {root}: name the folder that holds Annotations and JPEGImages")
        return names
    lists = {path.stem: path for kind in reversed(SETS) for path in (root / "ImageSets" / kind).glob("*.txt")}
    if split not in lists:
        raise unknown("split", split, lists)
    try:
        lines = [line.split() for line in lists[split].read_text(encoding="utf-8").splitlines()]
    except (ValueError, OSError) as error:
        raise JobError(f"{lists[split]} is no list of names: {one_line(error, 100)}") from error
    return [parts[0] for parts in lines if parts]


def _mask(root: Path, name: str, masks: MaskFolder) -> Path | None:
    for folder in ("SegmentationClass", "SegmentationObject"):
        path = root / folder / f"{name}.png"
        if path.is_file():
            numbers, void = read_voc_mask(path)
            return masks.write(name, numbers > 0, void)
    return None


def _objects(path: Path) -> tuple[list[list[float]], list[str]]:
    """Boxes as corners counted from 0 (VOC counts pixels from 1, both ends in the box), and their classes."""
    if not path.is_file():
        return [], []
    try:
        tree = ET.parse(path)
        boxes, classes = [], []
        for entry in tree.getroot().iter("object"):
            corners = [float(entry.findtext(f"bndbox/{side}") or "") for side in ("xmin", "ymin", "xmax", "ymax")]
            boxes.append([corners[0] - 1, corners[1] - 1, corners[2], corners[3]])
            classes.append((entry.findtext("name") or "").strip())
    except (ET.ParseError, ValueError) as error:
        raise JobError(f"{path} is not an annotation of VOC: {one_line(error, 100)}") from error
    return boxes, classes
