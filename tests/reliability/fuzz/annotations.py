"""Annotations of COCO, VOC and VQA in which values are replaced, missing or of another type."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from jobs.errors import JobError
from jobs.readers import read_dataset
from jobs.readers.annotations.command import write_manifest
from tests.reliability.fuzz.mutating import damaged, few_edits, json_edits, rewritten
from tests.reliability.fuzz.scratch import scratch
from tests.reliability.fuzz.target import Target, tried

HEIGHT, WIDTH = 12, 16
NAMES = ("a.jpg", "b.jpg", "COCO_val2014_000000000001.jpg")
SUFFIXES = (".parquet", ".csv", ".jsonl")
XML = (
    "<annotation><object><name>dog</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    "</object><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox>"
    "</object></annotation>"
)


@cache
def pictures() -> Path:
    """A folder of pictures, which is a VOC folder too."""
    root = scratch("annotations")
    for folder in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for name in NAMES:
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)).save(root / "JPEGImages" / name)
    Image.fromarray(np.eye(HEIGHT, WIDTH, dtype=np.uint8), "L").save(root / "SegmentationClass" / "a.png")
    return root


def _instance(image: int, category: int, segmentation: Any, crowd: int = 0) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": [2, 2, 6, 6], "iscrowd": crowd, "area": 36,
            "segmentation": segmentation}  # fmt: skip


def documents() -> dict[str, list[Any]]:
    """Whole annotations: the JSON files of each kind."""
    images = [{"id": n, "file_name": name, "height": HEIGHT, "width": WIDTH} for n, name in enumerate(NAMES[:2], 1)]
    square = [[2, 2, 8, 2, 8, 8, 2, 8]]
    lengths = {"size": [HEIGHT, WIDTH], "counts": [10, 20, 30, HEIGHT * WIDTH - 60]}
    instances = [_instance(1, 18, square), _instance(1, 1, lengths, 1), _instance(2, 1, lengths)]
    compressed = {"size": [HEIGHT, WIDTH], "counts": "`54W1"}
    coco = {
        "images": images,
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
        "annotations": [*instances, _instance(2, 18, compressed)],
    }
    captions = {"images": images, "annotations": [{"image_id": 1, "caption": "A dog"}, {"image_id": 2, "caption": "?"}]}
    questions = {"data_subtype": "val2014", "questions": [{"question_id": 7, "image_id": 1, "question": "What?"}]}
    people = [{"answer": "dog", "answer_id": n} for n in range(10)]
    answered = {"question_id": 7, "answers": people, "multiple_choice_answer": "dog", "question_type": "what"}
    lxmert = [{"img_id": "a", "sent": "What?", "label": {"dog": 1, "cat": 0.3}, "question_id": 7}]
    return {
        "coco": [coco], "coco-categories": [coco], "coco-captions": [captions], "lxmert": [lxmert],
        "vqa": [questions, {"data_subtype": "val2014", "annotations": [answered]}],
    }  # fmt: skip


def _strategy() -> Any:
    of_json = st.tuples(
        st.sampled_from(sorted(documents())),
        st.integers(0, 1),
        json_edits,
        st.one_of(st.just([]), st.just([]), few_edits),
    )
    of_xml = st.tuples(st.just("voc"), st.sampled_from(("xml", "mask", "list")), few_edits, st.just([]))
    return st.tuples(st.one_of(of_json, of_json, of_json, of_xml), st.sampled_from(SUFFIXES))


def check(case: tuple[tuple[str, Any, Any, Any], str]) -> str:
    """Ends in a JobError, or in a manifest that a run reads."""
    kind, which, changes, damage = case[0]
    root, out = pictures(), pictures() / f"out{case[1]}"
    out.unlink(missing_ok=True)
    paths = _voc(root, which, changes) if kind == "voc" else _json(root, kind, which, changes, damage)

    def work() -> None:
        told = write_manifest(kind, paths, out)
        assert told["rows"] >= 1
        assert len(read_dataset(out)) == told["rows"]

    try:
        return tried(work, JobError)
    finally:
        shutil.rmtree(root / "out_masks", ignore_errors=True)


def _json(root: Path, kind: str, which: int, changes: Any, damage: Any) -> list[Path]:
    files = []
    for number, document in enumerate(documents()[kind]):
        changed = number == which % len(documents()[kind])
        content = json.dumps(rewritten(document, changes) if changed else document).encode()
        files.append(root / f"{kind}_{number}.json")
        files[-1].write_bytes(damaged(content, damage) if changed else content)
    return [*files, root / "JPEGImages"]


def _voc(root: Path, which: str, changes: Any) -> list[Any]:
    mask = np.eye(HEIGHT, WIDTH, dtype=np.uint8)
    (root / "Annotations" / "a.xml").write_bytes(damaged(XML.encode(), changes) if which == "xml" else XML.encode())
    file = root / "SegmentationClass" / "a.png"
    Image.fromarray(mask, "L").save(file)
    names = damaged(b"a\nb\nmissing\n", changes) if which == "list" else b"a\nb\n"
    (root / "ImageSets" / "Segmentation" / "val.txt").write_bytes(names)
    if which == "mask":
        file.write_bytes(damaged(file.read_bytes(), changes))
    return [root, "val"]


TARGET = Target(
    "annotations",
    "COCO, VOC and VQA files (jobs/readers/annotations)",
    _strategy,
    check,
    share=9.0,
    quick=120,
    pinned=(
        (("voc", "mask", [("zero", 0.5, 1)], []), ".parquet"),
        (("coco", 1, [("add", 0.35, -4884), ("add", 0.14, 0), ("add", 0.35, -4884)], []), ".parquet"),
    ),
)
