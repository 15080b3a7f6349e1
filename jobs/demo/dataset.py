"""Write the demo data to a folder: pictures, masks and a manifest that `python -m jobs run --data` reads."""

from __future__ import annotations

import csv
import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from jobs.demo.picture import Picture, paint
from jobs.demo.plan import Plan, plan_dataset

GENERATOR = 2
"""Number of the generator: raise it when the same seed gives other pictures."""
JPEG_QUALITY = 92
Row = dict[str, str | int | float]
Progress = Callable[[int, int], None]
Result = TypeVar("Result")


def _save_mask(mask: np.ndarray, path: Path) -> None:
    Image.fromarray(mask.astype(np.uint8) * 255).save(path, optimize=False, compress_level=6)


def _save(picture: Picture, folder: Path) -> Row:
    """Write one picture with its masks; return its manifest row (paths relative to the folder)."""
    plan = picture.plan
    name = f"{plan.split}_{plan.position:05d}"
    row: Row = {
        "image": f"images/{name}.jpg",
        "label": plan.label,
        "text": picture.text,
        "split": plan.split,
        "mask": f"masks/{name}.png",
        "cue_mask": "",
        **picture.facts,
    }
    Image.fromarray(picture.image).save(folder / str(row["image"]), quality=JPEG_QUALITY, subsampling=0)
    _save_mask(picture.mask, folder / str(row["mask"]))
    if picture.cue_mask.any():
        row["cue_mask"] = f"cues/{name}.png"
        _save_mask(picture.cue_mask, folder / str(row["cue_mask"]))
    return row


def _write_one(plan: Plan, *, folder: Path, seed: int, cues: bool) -> Row:
    return _save(paint(plan, seed, cues=cues), folder)


def over_workers(work: Callable[[Plan], Result], plans: list[Plan], workers: int) -> Iterator[Result]:
    """Do the work for every plan, in order, in this process (workers <= 1) or in several fresh ones."""
    if workers <= 1 or len(plans) < 64:
        yield from map(work, plans)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(work, plans, chunksize=16)


def _write_manifest(rows: Iterable[Row], path: Path) -> None:
    rows = list(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_dataset(
    folder: Path | str,
    seed: int,
    counts: Mapping[str, int],
    *,
    cues: bool = True,
    name: str = "manifest",
    workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Write `counts` pictures per split to a folder and return the manifest's path.

    The same seed and counts give the same bytes. With cues=False the cue-free twins are written under the same names.
    The manifest is `name`.csv; `name`.json beside it tells what was asked for, and when that is already there,
    nothing is painted anew. `progress(done, total)` is called after every picture.
    """
    folder, plans = Path(folder), plan_dataset(counts, seed)
    manifest, request_file = folder / f"{name}.csv", folder / f"{name}.json"
    request = json.dumps({"generator": GENERATOR, "seed": seed, "counts": dict(counts), "cues": cues})
    if manifest.exists() and request_file.exists() and request_file.read_text() == request:
        return manifest
    request_file.unlink(missing_ok=True)
    for part in ("images", "masks", "cues"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for row in over_workers(partial(_write_one, folder=folder, seed=seed, cues=cues), plans, workers):
        rows.append(row)
        if progress is not None:
            progress(len(rows), len(plans))
    _write_manifest(rows, manifest)
    request_file.write_text(request)
    return manifest
