"""Scenes as COCO-format annotations: boxes, areas and masks as run lengths."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.detection.scenes import Scene
from benchmarks.detection.shapes import CLASSES

CATEGORIES = [{"id": k + 1, "name": name, "supercategory": "shape"} for k, name in enumerate(CLASSES)]


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """A mask [H,W] bool as COCO's uncompressed run lengths: down the columns, the first run being background."""
    flat = np.asarray(mask, bool).flatten(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=False, append=flat[-1])).tolist()
    counts = np.diff([0, *edges, flat.size]).tolist()
    return {"size": [int(side) for side in mask.shape], "counts": [int(count) for count in counts]}


def annotations_of(scene: Scene, image: int, first: int) -> list[dict[str, Any]]:
    """The annotations of one scene; `image` is the picture's id, `first` the id of the first annotation."""
    found = []
    for k, (mask, label) in enumerate(zip(scene.masks, scene.labels.tolist(), strict=True)):
        x0, y0, x1, y1 = scene.boxes[k].tolist()
        found.append(
            {
                "id": first + k,
                "image_id": image,
                "category_id": int(label) + 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": int(mask.sum()),
                "segmentation": run_lengths(mask),
                "iscrowd": 0,
            }
        )
    return found
