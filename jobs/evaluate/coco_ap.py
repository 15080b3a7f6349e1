"""COCO's AP and AR of masks, with thresholds of IoU from 0.2: the authors' protocol for DETR.

The authors edit `cocoeval.py` of the installed library (README of Transformer-MM-Explainability: iouThrs from 0.2 to
0.95 in steps of 0.05). Here they are set on `COCOeval.params`, which is what that attribute is for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jobs.errors import JobError
from jobs.evaluate.coco_truth import CocoTruth, made_coco, quiet
from jobs.readers.annotations.rle import area, box, packed

THRESHOLDS = np.linspace(0.2, 0.95, 16)  # the authors' line; COCO's own starts at 0.5
AREAS = {"": "all", "_S": "small", "_M": "medium", "_L": "large"}
NUMBERS = ("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L", "AR_1", "AR_10", "AR", "AR_S", "AR_M", "AR_L")


class Detection(NamedTuple):
    """One kept query: `score` is its probability, `mask` bool [height, width] of the annotated picture."""

    image_id: int
    category_id: int
    score: float
    mask: np.ndarray


@dataclass(frozen=True)
class CocoTable:
    """COCO's usual numbers in 0..1; None where the annotations have no object of that size.

    `skipped` counts detections that were left out by reason; `empty` are scored (they are misses) but hold no pixel.
    """

    numbers: dict[str, float | None]
    images: int
    objects: int
    detections: int
    empty: int = 0
    skipped: dict[str, int] = field(default_factory=dict)


def coco_ap(
    annotations: CocoTruth | Mapping[str, Any] | str | Path,
    detections: Iterable[Detection | tuple[int, int, float, np.ndarray]],
    *,
    image_ids: Collection[int] | None = None,
    thresholds: np.ndarray = THRESHOLDS,
) -> CocoTable:
    """Score masks against annotations in COCO's format.

    Args:
        annotations: the file, its content, or a `CocoTruth` (read once, used for many methods).
        detections: in any order; masks are packed one by one, so a generator needs no memory for all.
        image_ids: the pictures that were looked at; objects of others are not missed. None: all that are annotated.
        thresholds: of IoU, rising.

    Left out and counted: detections of pictures or categories that are not annotated, with a mask of another size or a
    score that is no number. Raises `JobError` when that leaves none of them, and for unusable annotations.
    """
    truth = annotations if isinstance(annotations, CocoTruth) else CocoTruth(annotations)
    looked_at = set(truth.images) if image_ids is None else set(image_ids)
    strange = looked_at - set(truth.images)
    kept: list[dict[str, Any]] = []
    skipped, empty, total = Counter[str](), 0, 0
    for detection in map(Detection._make, detections):
        total += 1
        reason = _fault(detection, truth, looked_at)
        if reason is not None:
            skipped[reason] += 1
            continue
        kept.append(_entry(detection, len(kept) + 1))
        empty += not kept[-1]["area"]
    if total and not kept:
        raise JobError(f"none of {total} detections can be scored against {truth.name}: {_told(skipped)}")
    if not looked_at - strange:
        raise JobError(f"none of {len(looked_at)} pictures is annotated in {truth.name}")
    ground = truth.coco(looked_at - strange)
    evaluator = _evaluated(ground, kept, thresholds)
    return CocoTable(
        _table(evaluator), len(looked_at - strange), len(ground.anns), len(kept), empty, dict(skipped.most_common())
    )


def _fault(detection: Detection, truth: CocoTruth, looked_at: Collection[int]) -> str | None:
    """Why a detection cannot be scored."""
    image = truth.images.get(detection.image_id)
    if image is None:
        return "its picture is not annotated"
    if detection.image_id not in looked_at:
        return "its picture was not to be looked at"
    if detection.category_id not in truth.categories:
        return "its category is not annotated"
    if detection.mask.shape != (image["height"], image["width"]):
        return "mask of another size"
    return None if np.isfinite(detection.score) else "its score is no number"


def _entry(detection: Detection, number: int) -> dict[str, Any]:
    mask = packed(detection.mask)
    return {
        "id": number,
        "image_id": detection.image_id,
        "category_id": detection.category_id,
        "score": float(detection.score),
        "segmentation": mask,
        "area": area(mask),
        "bbox": box(mask),
        "iscrowd": 0,
    }


def _evaluated(ground: COCO, detections: list[dict[str, Any]], thresholds: np.ndarray) -> COCOeval:
    found = made_coco({**ground.dataset, "annotations": detections})
    with quiet():
        evaluator = COCOeval(ground, found, iouType="segm")
        evaluator.params.iouThrs = np.asarray(thresholds, np.float64)
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator


def _table(evaluator: COCOeval) -> dict[str, float | None]:
    """What `summarize` prints. It looks thresholds up by ==, and 0.5 of another linspace need not be the same float."""
    params = evaluator.params
    precision, recall = evaluator.eval["precision"], evaluator.eval["recall"]  # [T, R, K, A, M], [T, K, A, M]
    most = len(params.maxDets) - 1
    numbers: dict[str, float | None] = {}
    for suffix, name in AREAS.items():
        size = params.areaRngLbl.index(name)
        numbers[f"AP{suffix}"] = _mean(precision[:, :, :, size, most])
        numbers[f"AR{suffix}"] = _mean(recall[:, :, size, most])
    for percent in (50, 75):
        at = np.isclose(params.iouThrs, percent / 100)
        numbers[f"AP{percent}"] = _mean(precision[at][:, :, :, 0, most])
    numbers["AR_1"], numbers["AR_10"] = (_mean(recall[:, :, 0, place]) for place in (0, 1))
    return {name: numbers[name] for name in NUMBERS}


def _mean(values: np.ndarray) -> float | None:
    """-1 marks categories without an object of that size."""
    values = values[values > -1]
    return float(values.mean()) if values.size else None


def _told(skipped: Counter[str]) -> str:
    return ", ".join(f"{reason} ({count})" for reason, count in skipped.most_common())
