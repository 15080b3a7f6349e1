"""Annotations in COCO's format, checked, and copied so that evaluating them leaves the caller's untouched."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from pycocotools.coco import COCO

from jobs.errors import JobError, nearest, unknown
from jobs.readers.annotations.files import read_json
from jobs.readers.annotations.rle import area, encoded

NEEDED = {"images": ("id", "width", "height"), "categories": ("id", "name"), "annotations": ("image_id", "category_id")}


class CocoTruth:
    """Images, categories and instances of one annotation file (or of a dict of the same shape).

    Raises `JobError` for a file that is not one, and for entries without what an evaluation of masks needs.
    """

    def __init__(self, annotations: Mapping[str, Any] | str | Path) -> None:
        if isinstance(annotations, str | Path):
            self.name, content = Path(annotations).name, read_json(Path(annotations))
        else:
            self.name, content = "the annotations", annotations
        _check(content, self.name)
        self.images: dict[int, dict[str, Any]] = {image["id"]: image for image in content["images"]}
        self.categories: dict[int, str] = {category["id"]: category["name"] for category in content["categories"]}
        self._content = content

    @cached_property
    def _instances(self) -> list[dict[str, Any]]:
        """Copies that pycocotools may write into, numbered from 1: it takes the id 0 for 'no match'."""
        copies = [
            {"iscrowd": 0, **instance, "id": number} for number, instance in enumerate(self._content["annotations"], 1)
        ]
        for copy in copies:
            self._fill(copy)
        return copies

    def _fill(self, instance: dict[str, Any]) -> None:
        image = self.images.get(instance["image_id"])
        if image is None:
            raise JobError(
                f"{self.name}: an instance is of image {instance['image_id']}, which is not among its images"
            )
        if instance["category_id"] not in self.categories:
            raise JobError(f"{self.name}: an instance is of category {instance['category_id']}, which is not listed")
        if not instance.get("segmentation"):
            raise JobError(f"{self.name}: an instance of image {instance['image_id']} has no segmentation")
        instance["segmentation"] = encoded(instance["segmentation"], image["height"], image["width"])
        if "area" not in instance:
            instance["area"] = area(instance["segmentation"])

    def coco(self, image_ids: Collection[int] | None = None) -> COCO:
        """A COCO object of these images (None: all), new and free to be changed."""
        kept = set(self.images) if image_ids is None else set(image_ids)
        instances = [dict(instance) for instance in self._instances if instance["image_id"] in kept]
        return made_coco(
            {
                "images": [dict(self.images[image]) for image in sorted(kept)],
                "categories": [{"id": number, "name": name} for number, name in self.categories.items()],
                "annotations": instances,
            }
        )

    def image_id(self, uri: str) -> int | None:
        """The image with the file name of `uri` or, without file names, with its number; None: not annotated."""
        name = PurePosixPath(uri)
        found = self._by_name.get(name.name)
        if found is None and name.stem.rpartition("_")[2].isdecimal():
            number = int(name.stem.rpartition("_")[2])
            unnamed = number in self.images and "file_name" not in self.images[number]
            return number if unnamed else None
        return found

    def category_id(self, name: str) -> int:
        """The number of a category; `JobError` with the nearest names for one that is not annotated."""
        found = self._by_category.get(name.strip().lower())
        if found is None:
            raise unknown("category", name, self.categories.values())
        return found

    @cached_property
    def _by_name(self) -> dict[str, int]:
        named = ((image.get("file_name"), number) for number, image in self.images.items())
        return {PurePosixPath(name).name: number for name, number in named if name}

    @cached_property
    def _by_category(self) -> dict[str, int]:
        return {name.strip().lower(): number for number, name in self.categories.items()}


def made_coco(content: dict[str, Any]) -> COCO:
    """A COCO object of a dict, without what pycocotools prints meanwhile."""
    coco = COCO()
    coco.dataset = content
    with quiet():
        coco.createIndex()
    return coco


def quiet() -> contextlib.redirect_stdout[io.StringIO]:
    """Keep prints off stdout, where `--json` puts its one document."""
    return contextlib.redirect_stdout(io.StringIO())


def _check(content: Any, name: str) -> None:
    if not isinstance(content, Mapping):
        raise JobError(f"{name} is not in COCO's format: expected an object with images, categories and annotations")
    for part, keys in NEEDED.items():
        entries = content.get(part)
        if not isinstance(entries, list):
            close = nearest(part, list(map(str, content)), 1)
            hint = f"; did you mean '{close[0]}'?" if close else f", only {', '.join(map(str, content)) or 'nothing'}"
            raise JobError(f"{name} has no list '{part}'{hint}")
        for entry in entries:
            lacking = [key for key in keys if key not in entry]
            if lacking:
                raise JobError(f"{name}: an entry of '{part}' has no '{lacking[0]}'")
    if not content["images"]:
        raise JobError(f"{name} has no images")
