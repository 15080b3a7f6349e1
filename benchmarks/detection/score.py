"""How well a detector finds boxes: COCO's average precision, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import torch
from transformers import DetrForObjectDetection

from benchmarks.detection.coco import CATEGORIES, annotations_of
from benchmarks.detection.model import to_inputs
from benchmarks.detection.objective import corners
from benchmarks.detection.scenes import SIZE, TEST_OFFSET, Scene, paint_scene

CHUNK = 50


def fresh_scenes(seed: int, count: int) -> list[Scene]:
    """The first `count` scenes of a seed that no training sees."""
    return [paint_scene(seed, TEST_OFFSET + k) for k in range(count)]


@torch.no_grad()
def detect(model: DetrForObjectDetection, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class probabilities [N,Q,C], "no object" left out, and boxes x0, y0, x1, y1 in pixels [N,Q,4] of pictures."""
    chances, boxes = [], []
    for k in range(0, len(images), CHUNK):
        found = model(pixel_values=to_inputs(images[k : k + CHUNK]))
        chances.append(found.logits.softmax(-1)[..., :-1])
        boxes.append(corners(found.pred_boxes) * SIZE)
    return torch.cat(chances).numpy(), torch.cat(boxes).numpy()


def box_precision(model: DetrForObjectDetection, scenes: list[Scene]) -> dict[str, float]:
    """COCO's box `AP` (IoU 0.5 to 0.95), `AP50` and `AP75` in 0..1; every query is one detection of its best class."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    chances, boxes = detect(model, np.stack([scene.image for scene in scenes]))
    truth: list[dict[str, Any]] = []
    for k, scene in enumerate(scenes):
        truth += annotations_of(scene, k + 1, len(truth) + 1)
    found = [
        {
            "image_id": k + 1,
            "category_id": int(chances[k, q].argmax()) + 1,
            "score": float(chances[k, q].max()),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
        }
        for k in range(len(scenes))
        for q, (x0, y0, x1, y1) in enumerate(boxes[k].tolist())
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        images = [{"id": k + 1, "width": SIZE, "height": SIZE} for k in range(len(scenes))]
        coco.dataset = {"info": {}, "images": images, "annotations": truth, "categories": CATEGORIES}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: round(float(evaluation.stats[k]), 4) for k, name in enumerate(("AP", "AP50", "AP75"))}
