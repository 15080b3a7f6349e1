"""The data of the load test: painted scenes whose id, file and label are known, and files that are no pictures."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

from jobs.demo.dataset import write_dataset

SEED = 2024
SPLITS = ("aligned", "conflicting", "clean")
KEPT = ("image", "label", "text", "mask", "place", "light", "scene")  # columns of the manifest
BROKEN_EVERY = 97  # one file of so many is no picture


@dataclass(frozen=True)
class Known:
    """What is known of a sample before anybody has looked at it."""

    sample_id: int
    uri: str
    label: str
    place: str
    broken: bool


def make_pictures(folder: Path, samples: int) -> tuple[Path, list[Known]]:
    """Paint scenes, unless they are there already. Returns the manifest, and what is in it by sample id."""
    manifest = folder / "load.csv"
    if not manifest.exists():
        _paint(folder, samples, manifest)
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if len(rows) != samples:
        raise SystemExit(f"{folder} holds {len(rows)} samples, not {samples}; give another folder, or remove it")
    return manifest, [
        Known(i, row["image"], row["label"], row["place"], broken=_broken(i)) for i, row in enumerate(rows)
    ]


def _paint(folder: Path, samples: int, manifest: Path) -> None:
    each = -(-samples // len(SPLITS))
    painted = write_dataset(folder, SEED, dict.fromkeys(SPLITS, each), name="painted", workers=os.cpu_count() or 1)
    with painted.open(newline="") as file:
        rows = [{name: row[name] for name in KEPT} for row in csv.DictReader(file)][:samples]
    for number, row in enumerate(rows):
        if _broken(number):
            (folder / row["image"]).write_text("not a picture")
    unfinished = manifest.with_suffix(".tmp")
    with unfinished.open("w", newline="") as file:
        writer = csv.DictWriter(file, KEPT)
        writer.writeheader()
        writer.writerows(rows)
    unfinished.rename(manifest)  # last: it says that all pictures are there


def _broken(number: int) -> bool:
    return number % BROKEN_EVERY == BROKEN_EVERY // 2
