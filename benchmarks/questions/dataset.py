"""`python -m benchmarks.questions.dataset OUT`: a dataset folder that `python -m jobs run --data OUT/questions.parquet`
reads: pictures to look at, region features, questions, answers, and which regions and words matter."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.questions import features
from benchmarks.questions.examples import examples
from benchmarks.questions.pictures import picture

MANIFEST = "questions.parquet"
SEED = 11
"""Seed of the dataset; training has another."""


def write_dataset(folder: Path, count: int, seed: int = SEED, pictures: bool = True) -> Path:
    """Write `questions.parquet`, and `images/`, into a folder; returns the manifest.

    Columns: `image` (with pictures), `text`, `label` (the answer), `features` (lists [K, 24]), `normalized_boxes`
    (lists [K, 4], fractions), and as metadata `kind` and JSON lists of positions from 0:
    `important_regions` among the regions, `important_words` among the words of the text between blanks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = examples(count, seed)
    columns: dict[str, list[object]] = {
        "text": [example.text for example in found],
        "label": [example.answer for example in found],
        "features": [features.noisy(example.things, seed, row).tolist() for row, example in enumerate(found)],
        "normalized_boxes": [features.boxes(example.things).tolist() for example in found],
        "kind": [example.kind for example in found],
        "important_regions": [json.dumps(example.important_regions) for example in found],
        "important_words": [json.dumps(example.important_words) for example in found],
    }
    if pictures:
        names = [f"images/{row:05d}.png" for row in range(count)]
        (folder / "images").mkdir(exist_ok=True)
        for name, example in zip(names, found, strict=True):
            picture(example.things).save(folder / name)
        columns = {"image": list(names), **columns}
    lists = pa.list_(pa.list_(pa.float32()))
    kinds = {"features": lists, "normalized_boxes": lists}
    table = pa.table({name: pa.array(values, kinds.get(name)) for name, values in columns.items()})
    pq.write_table(table, folder / MANIFEST, row_group_size=1000)
    return folder / MANIFEST


def main() -> None:
    """Write a dataset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--no-pictures", action="store_true")
    asked = parser.parse_args()
    print(write_dataset(asked.out, asked.count, asked.seed, pictures=not asked.no_pictures))


if __name__ == "__main__":
    main()
