"""Where the relevancy lies: segmentation and localisation against the masks or boxes of the manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from engine.faithfulness.localisation import LocalisationTotals
from engine.faithfulness.regions import box_mask, same_aspect
from engine.faithfulness.segmentation import SegmentationTotals
from jobs.coverage import View, parse_boxes
from jobs.evaluate.rows import number_row
from jobs.evaluate.subject import Chunk, Subject
from jobs.evaluate.variants import Variant, tried
from jobs.pictures import PictureError
from jobs.readers.annotations.masks import read_void_mask

Row = dict[str, Any]
Truth = tuple[np.ndarray | None, np.ndarray | None]
"""Object and void pixels, [H, W] boolean each; None where there are none."""
VOID = "mask_void"
"""Metadata column: the value of a mask's pixels that count neither way."""
SEGMENTATION = {
    "pixel_accuracy": "segmentation pixel accuracy",
    "miou": "segmentation mIoU",
    "map": "segmentation mAP",
    "mf1": "segmentation mF1",
}
LOCALISATION = {
    "pointing": "pointing game",
    "pointing_chance": "pointing game, by chance",
    "energy": "energy in mask",
    "inside": "relevancy in mask",
    "inside_chance": "relevancy in mask, by chance",
}
TESTS: dict[str, tuple[Callable[[], Any], dict[str, str]]] = {
    "segmentation": (SegmentationTotals, SEGMENTATION),
    "localisation": (LocalisationTotals, LOCALISATION),
}


def placing_rows(
    name: str,
    subject: Subject,
    chunks: Iterable[Chunk],
    compared: Sequence[Variant],
    seed: int,
    notes: list[str],
) -> list[Row]:
    """A row per variant and number of `segmentation` or `localisation`; samples that cannot be used are counted."""
    make, tests = TESTS[name]
    totals = {variant.name: make() for variant in compared}
    compared = list(compared)
    for chunk in chunks:
        truths = [_truth(subject, chunk, row) for row in range(len(chunk))]
        found = tried(compared, partial(subject.explain, chunk), notes)
        for method, explanation in found.items():
            grid = explanation.grid
            assert grid is not None  # jobs.evaluate.protocols has seen to it
            maps = explanation.relevancy["image"].float().cpu().numpy().reshape(len(chunk), *grid)
            for row, truth in enumerate(truths):
                _add(totals[method], maps[row], truth, chunk, row)
    rows = []
    for variant in compared:
        total = totals[variant.name]
        numbers = total.results(seed)
        rows += [number_row(variant.name, test, name, numbers[key], total.skipped) for key, test in tests.items()]
    return rows


def _add(total: Any, relevancy: np.ndarray, truth: Truth | str, chunk: Chunk, row: int) -> None:
    """Count a sample, its mask cut to what the map covers; a mask that cannot be used is a reason."""
    if isinstance(truth, str):
        total.skipped[truth] += 1
        return
    mask, void = truth
    if mask is not None:
        width, height = (int(side) for side in chunk.sizes[row])
        if not same_aspect(mask.shape, (height, width)):
            total.skipped["mask of another size"] += 1
            return
        x0, y0, x1, y1 = (float(edge) for edge in chunk.views[row])
        mask = seen_of(mask, (x0, y0, x1, y1))
        void = None if void is None else seen_of(void, (x0, y0, x1, y1))
    total.add(relevancy, mask, void)


def seen_of(mask: np.ndarray, view: View) -> np.ndarray:
    """The part of a mask [H, W] that a view (x0, y0, x1, y1, fractions of the picture) shows; False outside of it."""
    height, width = mask.shape
    x0, y0, x1, y1 = (round(edge * side) for edge, side in zip(view, (width, height, width, height), strict=True))
    seen = np.zeros((max(y1 - y0, 1), max(x1 - x0, 1)), bool)
    inner = mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    top, left = max(-y0, 0), max(-x0, 0)
    seen[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return seen


def _truth(subject: Subject, chunk: Chunk, row: int) -> Truth | str:
    """The object of a sample and its void pixels, [H, W] boolean: from its mask, or from its boxes; a reason in words
    where they cannot be read."""
    dataset, sample = subject.dataset, int(chunk.ids[row])
    name = None if dataset.mask is None else dataset.mask[sample].as_py()
    boxes = None if dataset.boxes is None else dataset.boxes[sample].as_py()
    try:
        if name is not None:
            void = dataset.metadata.get(VOID)
            return read_void_mask(dataset.at(name), None if void is None else void[sample].as_py())
        if boxes is not None:
            width, height = (int(side) for side in chunk.sizes[row])
            return box_mask(parse_boxes(boxes), (height, width)), None
    except PictureError as error:
        return f"mask unusable: {error.reason}"
    except (ValueError, TypeError):
        return "boxes unusable: expected JSON like [[x0, y0, x1, y1]]"
    return None, None
