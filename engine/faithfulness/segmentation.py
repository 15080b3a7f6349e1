"""Weakly supervised segmentation: how well a relevancy map, cut at its mean, finds the object.

Definitions of the authors' `baselines/ViT/imagenet_seg_eval.py` and `utils/metrices.py` (Transformer-Explainability):
map and mask at 224 x 224, map to 0..1, foreground where it exceeds its own mean. Pixel accuracy and the IoU of
foreground and background come from pixels summed over the dataset; average precision (of the two soft channels 1 - map
and map against the one-hot mask) and F1 are averaged over pictures.

F1 is that of a picture's foreground. The authors' script prints the mean of F1 over the *rows* of a picture (it hands a
picture to a function of batches), which no paper quotes; it is not copied.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.faithfulness.estimates import Estimate, Means, estimates
from engine.faithfulness.regions import PROTOCOL_SIZE, Map, Mask, Pair, Size
from engine.faithfulness.totals import Totals

# what a sample adds: intersection and union of background and foreground, pixels right, pixels, AP, F1
FIELDS = ("inter_back", "inter_fore", "union_back", "union_fore", "right", "pixels", "ap", "f1")


class SegmentationTotals(Totals):
    """Sums over samples, and why others were left out."""

    def __init__(self, size: Size | None = PROTOCOL_SIZE) -> None:
        super().__init__(size)

    def _row(self, pair: Pair) -> tuple[float, ...]:
        return _row(pair)

    def results(self, seed: int = 0) -> dict[str, Estimate]:
        """`pixel_accuracy`, `miou`, `map`, `mf1` and the two IoUs, in 0..1, with 95 % bootstrap intervals."""
        rows = np.array(self._rows, np.float64).reshape(-1, len(FIELDS))
        return estimates(rows, NUMBERS, seed)


def foreground(relevancy: Map) -> tuple[Map, Mask]:
    """The map in 0..1 and where it exceeds its own mean, as the authors cut it. The map must not be constant."""
    scaled = relevancy.astype(np.float64)
    scaled = ((scaled - scaled.min()) / (scaled.max() - scaled.min())).astype(np.float32)
    return scaled, scaled > scaled.mean(dtype=np.float64)


def average_precision(scores: NDArray[np.floating], positive: Mask) -> float:
    """Sum over distinct scores of (recall gained) x precision; NaN without positives. Flat arrays of one length.

    The step-wise area that scikit-learn's `average_precision_score` computes.
    """
    total = int(positive.sum())
    if total == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked, found = scores[order], positive[order].cumsum()
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of each run of equal scores
    hits = found[last]
    gained = np.diff(hits, prepend=0)
    return float((gained * hits / (last + 1)).sum() / total)


def two_channel_precision(scaled: Map, region: Mask) -> float:
    """The authors' AP of one picture: 1 - map against the background and map against the object, all in one ranking."""
    scores, positive = np.stack([1 - scaled, scaled]), np.stack([~region, region])
    return average_precision(scores.ravel(), positive.ravel())


def _row(pair: Pair) -> tuple[float, ...]:
    scaled, predicted = foreground(pair.relevancy)  # the mean is that of the whole map, as void pixels are part of it
    scaled, predicted, region = scaled[pair.count], predicted[pair.count], pair.region[pair.count]
    inter = np.array([(~predicted & ~region).sum(), (predicted & region).sum()])
    union = np.array([(~predicted | ~region).sum(), (predicted | region).sum()])
    f1 = 2 * inter[1] / (predicted.sum() + region.sum())
    return (*inter, *union, inter.sum(), region.size, two_channel_precision(scaled, region), f1)


def _ratio(means: Means, over: int, under: int) -> Means:
    """Column `over` by column `under`; 0 where both are 0, as with the authors' spacing(1) in the denominator."""
    return means[:, over] / np.maximum(means[:, under], np.spacing(1.0))


NUMBERS: dict[str, Callable[[Means], Means]] = {
    "pixel_accuracy": lambda means: _ratio(means, 4, 5),
    "miou": lambda means: (_ratio(means, 0, 2) + _ratio(means, 1, 3)) / 2,
    "map": lambda means: means[:, 6],
    "mf1": lambda means: means[:, 7],
    "iou_background": lambda means: _ratio(means, 0, 2),
    "iou_foreground": lambda means: _ratio(means, 1, 3),
}
