"""COCO: instances (boxes, masks, categories) and captions, from the json files of cocodataset.org."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jobs.errors import JobError
from jobs.pictures import MAX_PIXELS
from jobs.readers.annotations.files import (
    existing,
    is_number,
    list_of,
    name_of,
    read_json,
    require_some,
    text_of,
    value_of,
)
from jobs.readers.annotations.masks import MaskFolder
from jobs.readers.annotations.rle import decoded
from jobs.readers.annotations.table import Row, Rows

Instance = dict[str, Any]


def read_pictures(paths: Sequence[str], masks: MaskFolder) -> Rows:
    """`INSTANCES.json IMAGES`: one row per picture, the boxes and the joint mask of all its objects.

    `label` is the category where there is only one in the picture; `categories` names each box. Crowds are void.
    """
    file, folder = existing(paths[0], "annotation file"), existing(paths[1], "picture folder", folder=True)
    images, names, by_image = _instances(file, folder)
    found = Rows()
    for number, image in images.items():
        instances = by_image.get(number, [])
        single = {instance["category_id"] for instance in instances if not instance.get("iscrowd")}
        found.rows.append(
            {
                "image": folder / image["file_name"],
                "label": names[single.pop()] if len(single) == 1 else None,
                **_objects(instances, image, Path(image["file_name"]).stem, masks, file.name),
                "categories": [names[i["category_id"]] for i in instances if not i.get("iscrowd")] or None,
                "image_id": number,
            }
        )
    return found


def read_categories(paths: Sequence[str], masks: MaskFolder) -> Rows:
    """`INSTANCES.json IMAGES`: one row per picture and category in it, for image-text models: `text` is its name."""
    file, folder = existing(paths[0], "annotation file"), existing(paths[1], "picture folder", folder=True)
    images, names, by_image = _instances(file, folder)
    found = Rows()
    for number, image in images.items():
        by_category: dict[int, list[Instance]] = defaultdict(list)
        for instance in by_image.get(number, []):
            by_category[instance["category_id"]].append(instance)
        for category, instances in sorted(by_category.items()):
            if all(instance.get("iscrowd") for instance in instances):
                found.skipped["a crowd only"] += 1
                continue
            stem = f"{Path(image['file_name']).stem}_{category}"
            objects = _objects(instances, image, stem, masks, file.name)
            texts = {"label": names[category], "text": names[category]}
            row: Row = {"image": folder / image["file_name"], **texts, **objects, "image_id": number}
            found.rows.append(row)
        found.skipped["picture without objects"] += not by_category
    return found


def read_captions(paths: Sequence[str], masks: MaskFolder) -> Rows:
    """`CAPTIONS.json IMAGES`: one row per caption."""
    file, folder = existing(paths[0], "annotation file"), existing(paths[1], "picture folder", folder=True)
    content = read_json(file)
    images = _images(content, file.name)
    found = Rows()
    for entry in list_of(content, "annotations", file.name):
        image = images.get(name_of(entry, "image_id", f"{file.name}: a caption"))
        if image is None:
            found.skipped["its picture is not listed"] += 1
            continue
        text = " ".join(str(value_of(entry, "caption", f"{file.name}: an annotation")).split())
        found.rows.append({"image": folder / image["file_name"], "text": text, "image_id": image["id"]})
    require_some((row["image"].name for row in found.rows), folder, file.name)
    return found


def _images(content: Any, name: str) -> dict[int, dict[str, Any]]:
    entries = list_of(content, "images", name)
    for entry in entries:
        name_of(entry, "id", f"{name}: an image")
        text_of(entry, "file_name", f"{name}: an image")
    return {entry["id"]: entry for entry in entries}


def _instances(file: Path, folder: Path) -> tuple[dict[int, dict[str, Any]], dict[int, str], dict[int, list[Instance]]]:
    """Images by number, names of categories, and instances by image; every instance checked."""
    content = read_json(file)
    images = _images(content, file.name)
    require_some((image["file_name"] for image in images.values()), folder, file.name)
    names = {
        name_of(entry, "id", f"{file.name}: a category"): str(value_of(entry, "name", f"{file.name}: a category"))
        for entry in list_of(content, "categories", file.name)
    }
    by_image: dict[int, list[Instance]] = defaultdict(list)
    for instance in list_of(content, "annotations", file.name):
        for key in ("image_id", "category_id"):
            name_of(instance, key, f"{file.name}: an instance")
        for key in ("bbox", "segmentation"):
            value_of(instance, key, f"{file.name}: an instance")
        if instance["category_id"] not in names:
            raise JobError(f"{file.name}: an instance is of category {instance['category_id']}, which is not listed")
        if not _is_box(instance["bbox"]):
            raise JobError(f"{file.name}: a bbox is not [x, y, width, height]: {str(instance['bbox'])[:60]}")
        by_image[instance["image_id"]].append(instance)
    return images, names, by_image


def _is_box(found: Any) -> bool:
    return isinstance(found, list) and len(found) == 4 and all(is_number(value) for value in found)


def _size(image: dict[str, Any], file: str) -> list[int]:
    """Height and width of a picture, which its masks are made as large as."""
    size = [value_of(image, side, f"{file}: an image") for side in ("height", "width")]
    if not all(isinstance(side, int) and side > 0 for side in size) or size[0] * size[1] > MAX_PIXELS:
        raise JobError(f"{file}: an image of height {str(size[0])[:20]} and width {str(size[1])[:20]} cannot be")
    return size


def _objects(instances: list[Instance], image: dict[str, Any], stem: str, masks: MaskFolder, file: str) -> Row:
    """Boxes as corners, and the path of the joint mask."""
    single = [instance for instance in instances if not instance.get("iscrowd")]
    boxes = [[x, y, x + w, y + h] for x, y, w, h in (instance["bbox"] for instance in single)]
    size = _size(image, file)
    whole = _joint(single, size)
    crowds = _joint([instance for instance in instances if instance.get("iscrowd")], size)
    return {"boxes": boxes or None, **masks.columns(masks.write(stem, whole, crowds))}


def _joint(instances: list[Instance], size: list[int]) -> np.ndarray:
    joint = np.zeros(size, bool)
    for instance in instances:
        joint |= decoded(instance["segmentation"], *size)
    return joint
