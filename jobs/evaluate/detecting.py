"""Segmentation by a detector that was trained on boxes alone: masks of its queries' maps against COCO annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from engine import explain_detections
from jobs.errors import JobError
from jobs.evaluate.coco_ap import CocoTable, Detection, coco_ap
from jobs.evaluate.coco_truth import CocoTruth
from jobs.evaluate.query_masks import query_mask
from jobs.evaluate.subject import Chunk, Subject
from jobs.evaluate.variants import Variant, tried

Row = dict[str, Any]
KEPT = 0.5  # probability above which the authors keep a query
SHOWN = ("AP", "AP50", "AP_M", "AP_L", "AR", "AR_M", "AR_L")


def detection_rows(
    subject: Subject, chunks: Iterable[Chunk], compared: Sequence[Variant], truth: CocoTruth, notes: list[str]
) -> list[Row]:
    """A row per variant and number of COCO's table, in percent."""
    compared = list(compared)
    found: dict[str, list[Detection]] = {variant.name: [] for variant in compared}
    skipped: Counter[str] = Counter()
    images: list[int] = []
    for chunk in chunks:
        image = _image_id(subject, chunk, truth)
        if image is None:
            skipped["its picture is not annotated"] += 1
            continue
        images.append(image)
        masks = tried(compared, partial(_detections, subject, chunk, truth, image), notes)
        for method, some in masks.items():
            found[method] += some
    if not images:
        raise JobError(f"none of the run's pictures is annotated in {truth.name}: their file names are compared")
    rows = []
    for variant in compared:
        table = coco_ap(truth, found[variant.name], image_ids=images)
        rows += _rows(variant.name, table, len(images), skipped)
    return rows


def _detections(subject: Subject, chunk: Chunk, truth: CocoTruth, image: int, variant: Variant) -> list[Detection]:
    """Masks of the queries that are kept in one picture."""
    size = (int(truth.images[image]["height"]), int(truth.images[image]["width"]))
    picture = chunk.inputs["image"]
    explanations = explain_detections(
        subject.loaded,
        chunk.given,
        threshold=KEPT,
        most=subject.most,
        method=variant.method,
        start_layer=variant.start_layer,
    )
    names = subject.loaded.class_names
    masks = []
    for one in explanations:
        if one.kept is None or not bool(one.kept[0]):
            continue
        assert one.grid is not None and one.target_index is not None and one.confidence is not None
        number = int(one.target_index[0])
        name = names[number] if names else str(number)
        grid = one.grid if one.grids is None else tuple(int(side) for side in one.grids[0])
        relevancy = one.relevancy["image"][0].float().cpu().numpy().reshape(one.grid)[: grid[0], : grid[1]]
        mask = query_mask(relevancy, size, inputs=(int(picture.shape[-2]), int(picture.shape[-1])))
        masks.append(Detection(image, truth.category_id(name), float(one.confidence[0]), mask))
    return masks


def _image_id(subject: Subject, chunk: Chunk, truth: CocoTruth) -> int | None:
    return truth.image_id(str(subject.dataset.picture(int(chunk.ids[0]))))


def _rows(name: str, table: CocoTable, images: int, skipped: Counter[str]) -> list[Row]:
    reasons: dict[str, int] = dict(Counter(table.skipped) + skipped)
    details = {"objects": table.objects, "detections": table.detections, "empty_masks": table.empty}
    return [
        {
            "method": name,
            "modality": "image",
            "test": f"COCO {number}",
            "protocol": "coco",
            "curve": {"steps": [], "values": []},
            "auc": None if table.numbers[number] is None else round(100 * float(table.numbers[number] or 0), 6),
            "n": images,
            "skipped": reasons,
            "details": details,
        }
        for number in SHOWN
    ]
