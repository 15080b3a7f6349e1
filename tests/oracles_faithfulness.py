"""The formulas of `engine/faithfulness` and of the annotations once more, slowly and plainly; imports none of ours."""

from __future__ import annotations

import itertools
import math

import numpy as np

Array = np.ndarray


def otsu_by_all_cuts(levels: Array) -> int:
    """The lowest cut t (<= t against > t) of 8-bit values with the least variance within, weighted by pixels."""
    best, chosen = math.inf, 0
    values = levels.astype(np.float64).ravel()
    for cut in range(255):
        low, high = values[values <= cut], values[values > cut]
        if len(low) and len(high):
            within = (len(low) * low.var() + len(high) * high.var()) / len(values)
            if within < best - 1e-9:
                best, chosen = within, cut
    return chosen


def bilinear(cells: Array, size: tuple[int, int]) -> Array:
    """A grid resized bilinearly, with half-pixel centres and the border repeated, one pixel at a time."""
    (h, w), out = cells.shape, np.zeros(size)
    for i, j in itertools.product(range(size[0]), range(size[1])):
        y = min(max((i + 0.5) * h / size[0] - 0.5, 0), h - 1)
        x = min(max((j + 0.5) * w / size[1] - 0.5, 0), w - 1)
        top, left = int(y), int(x)
        bottom, right, dy, dx = min(top + 1, h - 1), min(left + 1, w - 1), y - top, x - left
        upper = cells[top, left] * (1 - dx) + cells[top, right] * dx
        lower = cells[bottom, left] * (1 - dx) + cells[bottom, right] * dx
        out[i, j] = upper * (1 - dy) + lower * dy
    return out


def segmentation_numbers(samples: list[tuple[Array, Array]]) -> dict[str, float]:
    """The authors' four numbers of [(map, mask)] that already have one size: a loop over pixels.

    AP by its definition over every distinct score of the two channels in one ranking.
    """
    right = pixels = 0
    inter, union, aps, f1s = [0, 0], [0, 0], [], []
    for relevancy, mask in samples:
        scaled = (relevancy - relevancy.min()) / (relevancy.max() - relevancy.min())
        predicted = [v > scaled.mean() for v in scaled.ravel().tolist()]
        truth = mask.ravel().tolist()
        pairs = list(zip(predicted, truth, strict=True))
        right, pixels = right + sum(p == t for p, t in pairs), pixels + len(pairs)
        for side in (0, 1):
            inter[side] += sum(p == t == side for p, t in pairs)
            union[side] += sum(side in (p, t) for p, t in pairs)
        ranked = [(1 - v, not t) for v, t in zip(scaled.ravel().tolist(), truth, strict=True)]
        ranked += [(v, t) for v, t in zip(scaled.ravel().tolist(), truth, strict=True)]
        aps.append(precision_over_recall(ranked))
        both = sum(p and t for p, t in pairs)
        f1s.append(2 * both / (sum(predicted) + sum(truth)))
    return {
        "pixel_accuracy": right / pixels,
        "miou": (inter[0] / union[0] + inter[1] / union[1]) / 2,
        "map": sum(aps) / len(aps),
        "mf1": sum(f1s) / len(f1s),
    }


def precision_over_recall(ranked: list[tuple[float, bool]]) -> float:
    """AP = sum over distinct scores, from the top, of the recall that is gained times the precision down to there."""
    positives, area, before = sum(t for _, t in ranked), 0.0, 0.0
    for score in sorted({s for s, _ in ranked}, reverse=True):
        chosen = [t for s, t in ranked if s >= score]
        recall = sum(chosen) / positives
        area, before = area + (recall - before) * sum(chosen) / len(chosen), recall
    return area


def pointing(relevancy: Array, region: Array, tolerance: float) -> float:
    """Share of the map's maxima that have a pixel of the region within `tolerance`, every distance taken by itself."""
    top = np.argwhere(relevancy == relevancy.max())
    inside = np.argwhere(region)
    return float(np.mean([min(math.dist(t, p) for p in inside) <= tolerance for t in top]))


def vqa_accuracy_by_subsets(answer: str, answers: list[str]) -> float:
    """Soft accuracy of an answer: over every choice of all people but one, min(1, how many said the same / 3)."""
    people = len(answers)
    subsets = list(itertools.combinations(range(people), people - 1))
    return sum(min(1.0, sum(answers[i] == answer for i in chosen) / 3) for chosen in subsets) / len(subsets)


def coco_numbers(truth: list[tuple], found: list[tuple], thresholds: list[float]) -> tuple[float, float]:
    """COCO's (AP, AR) of masks: truth [(image, category, mask)], found [(image, category, score, mask)].

    Detections of a category are taken by score; each takes the free object of its picture it overlaps most. Precision
    is read off at 101 recalls, as the best that is reached at that recall or a higher one.
    The 101 are the library's floats.
    """
    precisions, recalls = [], []
    for category in sorted({t[1] for t in truth}):
        objects = [t for t in truth if t[1] == category]
        ranked = sorted((f for f in found if f[1] == category), key=lambda f: -f[2])
        for threshold in thresholds:
            taken: set[int] = set()
            hits = []
            for image, _, _, mask in ranked:
                free = [i for i, o in enumerate(objects) if o[0] == image and i not in taken]
                overlaps = {i: (mask & objects[i][2]).sum() / (mask | objects[i][2]).sum() for i in free}
                best = max(overlaps, key=lambda i: overlaps[i], default=None)
                hits.append(best is not None and overlaps[best] >= threshold - 1e-10)
                if hits[-1]:
                    taken.add(best)
            done = [sum(hits[: n + 1]) for n in range(len(hits))]
            reached = [(n / len(objects), n / (place + 1)) for place, n in enumerate(done)]
            for wanted in np.linspace(0, 1, 101):
                precisions.append(max((p for r, p in reached if r >= wanted), default=0.0))
            recalls.append(len(taken) / len(objects))
    return sum(precisions) / len(precisions), sum(recalls) / len(recalls)


def trapezoid_area(xs: list[float], ys: Array) -> float:
    """Area under a curve, times 100."""
    return 100 * sum((xs[i + 1] - xs[i]) * (float(ys[i]) + float(ys[i + 1])) / 2 for i in range(len(xs) - 1))


def bootstrap(values: Array, statistic, seed: int, resamples: int = 2000) -> tuple[float, float]:
    """2.5 % and 97.5 % of a statistic of resampled rows."""
    draws = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    found = [statistic(values[rows]) for rows in draws]
    return float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def enlarged(cells: Array, height: int, width: int) -> Array:
    """A map [h, w] bilinearly at the centres of [height, width] pixels, the outermost cells continued to the edge."""
    h, w = cells.shape
    large = np.zeros((height, width))
    for i, j in np.ndindex(height, width):
        y = min(max((i + 0.5) * h / height - 0.5, 0), h - 1)
        x = min(max((j + 0.5) * w / width - 0.5, 0), w - 1)
        a, b = int(y), int(x)
        c, d = min(a + 1, h - 1), min(b + 1, w - 1)
        above = cells[a, b] * (1 - (x - b)) + cells[a, d] * (x - b)
        below = cells[c, b] * (1 - (x - b)) + cells[c, d] * (x - b)
        large[i, j] = above * (1 - (y - a)) + below * (y - a)
    return large


def removal_order(values: Array, direction: str, removable: list[int] | None = None) -> list[int]:
    """Tokens in the order in which they are taken away; of equal ones the first first."""
    sign = -1 if direction == "positive" else 1
    tokens = range(len(values)) if removable is None else removable
    return sorted(tokens, key=lambda token: (sign * float(values[token]), token))


def perturbed_picture(image: Array, nothing: Array, cells: Array, direction: str, count: int, inserts: bool) -> Array:
    """A picture [C, H, W] whose first `count` pixels are those of `nothing`; inserts: it has those alone."""
    _, height, width = image.shape
    order = removal_order(enlarged(cells, height, width).ravel(), direction)
    result = nothing.copy() if inserts else image.copy()
    for pixel in order[:count]:
        i, j = divmod(pixel, width)
        result[:, i, j] = image[:, i, j] if inserts else nothing[:, i, j]
    return result


def tokens_left(values: Array, direction: str, share: float, removable: list[int], rounding: str) -> list[int]:
    """Of the removable tokens those that stay, in their own order.

    ``rounding``: "stay" (the authors' scripts for words and regions: how many stay is cut to a whole number), "gone"
    (how many go is) or "inserted" (how many come is).
    """
    order = removal_order(values, direction, removable)
    if rounding == "inserted":
        return sorted(order[: int(share * len(order))])
    gone = int(share * len(order)) if rounding == "gone" else len(order) - int((1 - share) * len(order))
    return sorted(order[gone:])


def extremes(weights: Array, score, counts: list[int]) -> tuple[list[float], list[float]]:
    """The least and the greatest score that taking away any `count` of the tokens can give, for every count.

    ``score``: the weights of the tokens that are left -> number.
    """
    least, greatest = [], []
    for count in counts:
        found = [
            score([w for i, w in enumerate(weights) if i not in gone])
            for gone in itertools.combinations(range(len(weights)), count)
        ]
        least.append(min(found))
        greatest.append(max(found))
    return least, greatest


def rank_correlation(first: Array, second: Array) -> float:
    """Spearman's rho: a value's rank is how many are below it, and half of those that equal it."""

    def ranks(values: Array) -> Array:
        return np.array([sum(v < x for v in values) + (sum(v == x for v in values) + 1) / 2 for x in values])

    a, b = ranks(first), ranks(second)
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum()))


def expected_overlap(first: Array, second: Array, k: int) -> float:
    """Mean share of the k first tokens that two maps have in common, over all ways to break the ties of either."""

    def tops(values: Array) -> list[set[int]]:
        """Every set of k tokens that no other token exceeds."""
        sets = [set(chosen) for chosen in itertools.combinations(range(len(values)), k)]
        return [
            s for s in sets if min(values[i] for i in s) >= max(values[i] for i in range(len(values)) if i not in s)
        ]

    shares = [len(a & b) / k for a in tops(first) for b in tops(second)]
    return sum(shares) / len(shares)
