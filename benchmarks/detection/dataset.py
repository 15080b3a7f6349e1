"""Write scenes to a folder: pictures, a manifest that `python -m jobs run --data` reads, COCO-format annotations.

python -m benchmarks.detection.dataset FOLDER --count 200
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.detection.coco import CATEGORIES, annotations_of
from benchmarks.detection.scenes import SIZE, TEST_OFFSET, Scene, paint_scene
from benchmarks.detection.shapes import CLASSES

TEST_SEED = 7
"""Seed of the scenes that the card's figures are measured on."""


def write_dataset(folder: Path | str, count: int, seed: int = TEST_SEED) -> Path:
    """Write `count` test scenes and return the manifest's path.

    `images/*.png`; `masks/*.png`, all shapes of a picture; `manifest.csv` with columns `image`, `mask`, `objects`,
    `classes`, `background`; `annotations.json` in COCO's format, whose `file_name` is the manifest's `image`. The same
    count and seed give the same bytes.
    """
    folder = Path(folder)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    rows: list[dict[str, str | int]] = []
    for k in range(count):
        scene = paint_scene(seed, TEST_OFFSET + k)
        rows.append(_save(scene, folder, f"scene_{k:05d}"))
        images.append({"id": k + 1, "file_name": rows[-1]["image"], "width": SIZE, "height": SIZE})
        annotations += annotations_of(scene, k + 1, len(annotations) + 1)
    described = {
        "info": {"description": "generated scenes of textured shapes", "seed": seed},
        "images": images,
        "annotations": annotations,
        "categories": CATEGORIES,
    }
    (folder / "annotations.json").write_text(json.dumps(described))
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return manifest


def _save(scene: Scene, folder: Path, name: str) -> dict[str, str | int]:
    """Write a scene's picture and mask; its row of the manifest."""
    row: dict[str, str | int] = {
        "image": f"images/{name}.png",
        "mask": f"masks/{name}.png",
        "objects": len(scene.labels),
        "classes": " ".join(sorted({CLASSES[k] for k in scene.labels})),
        "background": scene.background,
    }
    Image.fromarray(scene.image).save(folder / str(row["image"]))
    Image.fromarray(scene.masks.any(0).astype(np.uint8) * 255).save(folder / str(row["mask"]))
    return row


def main() -> None:
    """Write the dataset that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=TEST_SEED)
    asked = parser.parse_args()
    if asked.count < 1:
        parser.error(f"--count {asked.count}: give at least 1")
    print(write_dataset(asked.folder, asked.count, asked.seed))


if __name__ == "__main__":
    main()
