"""How alike two maps of the same sample are: rank correlation, overlap of the top tokens, SSIM."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata
from torch import Tensor

from engine.errors import EngineError, UnknownName
from engine.faithfulness.usable import counted, why_unusable
from engine.interventions.effect import interval

TOP = 0.2
SIGMA, TRUNCATE, K1, K2 = 1.5, 3.5, 0.01, 0.03  # Wang et al., 2004, section III-C: an 11 x 11 Gaussian window

Maps = Tensor | np.ndarray
Measure = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Similarity:
    """Mean similarity of n pairs of maps with its 95 % bootstrap interval; NaN where n is 0.

    Attributes:
        mean, low, high: over the pairs that have a similarity.
        n: how many those are.
        skipped: reason -> number of pairs without one.
        values: similarity of every pair, [B]; NaN where it was skipped.
    """

    mean: float
    low: float
    high: float
    n: int
    skipped: dict[str, int]
    values: np.ndarray = field(repr=False)


def spearman(first: Maps, second: Maps, valid: Maps | None = None) -> np.ndarray:
    """Spearman's rank correlation of each pair of maps, tied values sharing their mean rank.

    Args:
        first, second: maps [B, N].
        valid: tokens that count, [B, N] boolean (default: all).

    Returns:
        [B], from -1 to 1; NaN where a map gives no order (:func:`engine.faithfulness.usable.why_unusable`).
    """
    return _measured(_spearman, first, second, valid)


def spearman_of_magnitudes(first: Maps, second: Maps, valid: Maps | None = None) -> np.ndarray:
    """:func:`spearman` of absolute values, for maps with a sign (Adebayo et al., 2018, report both)."""
    one, other = _array(first), _array(second)
    return spearman(np.abs(one), np.abs(other), valid)


def top_overlap(first: Maps, second: Maps, valid: Maps | None = None) -> np.ndarray:
    """Share of the ceil(20 %) most relevant tokens of one map that are among those of the other; as :func:`spearman`.

    Where equal values compete for the last places, each takes its share of them: the overlap is then the one that is
    expected when ties are broken at random, in each map by itself.
    """
    return _measured(_top_overlap, first, second, valid)


def ssim(first: Maps, second: Maps, grid: tuple[int, int]) -> np.ndarray:
    """Structural similarity of maps [B, h * w] on their grid, each brought to 0..1 first; as :func:`spearman`.

    Wang et al., *Image Quality Assessment*, IEEE TIP 2004, eq. 13, with their Gaussian window and constants; edges are
    mirrored.
    """

    def on_grid(one: np.ndarray, other: np.ndarray, valid: np.ndarray) -> np.ndarray:
        return _ssim(_unit(one).reshape(-1, *grid), _unit(other).reshape(-1, *grid))

    return _measured(on_grid, first, second, None)


MEASURES: dict[str, Callable[..., np.ndarray]] = {
    "spearman": spearman,
    "spearman of magnitudes": spearman_of_magnitudes,
    "top overlap": top_overlap,
}


def measure_named(name: str) -> Callable[..., np.ndarray]:
    """The measure of this name. Raises UnknownName."""
    if name not in MEASURES:
        raise UnknownName("measure of similarity", name, MEASURES)
    return MEASURES[name]


def similarity_of(
    first: Maps, second: Maps, valid: Maps | None = None, *, measure: str = "spearman", seed: int = 0
) -> Similarity:
    """Sum up the similarity of pairs of maps [B, N]; pairs without one are counted by reason, never averaged in.

    Raises:
        EngineError: maps of different shapes, or an unknown measure.
    """
    values = measure_named(measure)(first, second, valid)
    reasons = [one or other for one, other in zip(*_reasons(_array(first), _array(second), valid), strict=True)]
    usable = values[~np.isnan(values)]
    low, high = interval(usable, seed)
    mean = float(usable.mean()) if len(usable) else float("nan")
    return Similarity(mean, low, high, len(usable), counted(reasons), values)


def told_of(maps: Sequence[Maps]) -> np.ndarray:
    """Tokens that at least one of several maps [B, N] of the same samples gives a value other than 0, [B, N] boolean.

    Explanations are 0 at padding and at special tokens, which are no part of the answer.
    """
    told: np.ndarray = np.any([np.nan_to_num(_array(one), posinf=1.0, neginf=-1.0) != 0 for one in maps], axis=0)
    return told


def between_methods(
    maps: Mapping[str, Maps], valid: Maps | None = None, *, measure: str = "spearman", seed: int = 0
) -> dict[tuple[str, str], Similarity]:
    """The similarity of every two methods' maps [B, N] of the same samples, each pair once, in the order given.

    ``valid`` [B, N] boolean: tokens that count; by default those of :func:`told_of`.
    """
    names = list(maps)
    shown = told_of(list(maps.values())) if valid is None and maps else valid
    return {
        (one, other): similarity_of(maps[one], maps[other], shown, measure=measure, seed=seed)
        for i, one in enumerate(names)
        for other in names[i + 1 :]
    }


def matrix_of(found: Mapping[tuple[str, str], Similarity]) -> tuple[list[str], np.ndarray]:
    """Names and mean similarities [M, M] of what :func:`between_methods` found; 1 on the diagonal."""
    names = list(dict.fromkeys(name for pair in found for name in pair))
    matrix = np.eye(len(names))
    for (one, other), similarity in found.items():
        i, j = names.index(one), names.index(other)
        matrix[i, j] = matrix[j, i] = similarity.mean
    return names, matrix


def _array(maps: Any) -> np.ndarray:
    array: np.ndarray = torch.as_tensor(maps).detach().double().cpu().numpy()
    return array


def _measured(measure: Measure, first: Maps, second: Maps, valid: Maps | None) -> np.ndarray:
    """Apply a measure to the pairs that have an order; NaN for the others."""
    one, other = _array(first), _array(second)
    if one.shape != other.shape or one.ndim != 2:
        raise EngineError(f"maps to compare must both be [B, N], not {list(one.shape)} and {list(other.shape)}")
    shown = np.ones(one.shape, bool) if valid is None else np.array(_array(valid), bool)
    of_one, of_other = _reasons(one, other, valid)
    usable = np.array([a is None and b is None for a, b in zip(of_one, of_other, strict=True)], bool)
    values = np.full(len(one), np.nan)
    if usable.any():
        values[usable] = measure(one[usable], other[usable], shown[usable])
    return values


def _reasons(one: np.ndarray, other: np.ndarray, valid: Maps | None) -> tuple[list[str | None], list[str | None]]:
    return why_unusable(one, valid), why_unusable(other, valid)


def _spearman(one: np.ndarray, other: np.ndarray, shown: np.ndarray) -> np.ndarray:
    a, b = _centred_ranks(one, shown), _centred_ranks(other, shown)
    together: np.ndarray = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return together.clip(-1.0, 1.0)


def _centred_ranks(values: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Mean ranks of the tokens that count, less their mean; 0 elsewhere."""
    ranks = rankdata(np.where(shown, values, np.inf), axis=1)  # what does not count ranks last and moves nothing
    mean = np.where(shown, ranks, 0.0).sum(axis=1, keepdims=True) / shown.sum(axis=1, keepdims=True)
    centred: np.ndarray = np.where(shown, ranks - mean, 0.0)
    return centred


def _top_overlap(one: np.ndarray, other: np.ndarray, shown: np.ndarray) -> np.ndarray:
    overlap: np.ndarray = np.array([_overlap(a[s], b[s]) for a, b, s in zip(one, other, shown, strict=True)])
    return overlap


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    k = math.ceil(TOP * len(one) - 1e-9)
    return float((_places(one, k) * _places(other, k)).sum() / k)


def _places(values: np.ndarray, k: int) -> np.ndarray:
    """How much of one of the k first places each value has, [N] in 0..1."""
    last = np.sort(values)[-k]
    above, equal = values > last, values == last
    return above + equal * ((k - above.sum()) / equal.sum())


def _unit(values: np.ndarray) -> np.ndarray:
    low, high = values.min(axis=1, keepdims=True), values.max(axis=1, keepdims=True)
    unit: np.ndarray = (values - low) / (high - low)
    return unit


def _ssim(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Mean of the SSIM index over the cells of each pair, [B, h, w] -> [B]."""

    def smooth(values: np.ndarray) -> np.ndarray:
        smoothed: np.ndarray = gaussian_filter(values, (0, SIGMA, SIGMA), truncate=TRUNCATE)
        return smoothed

    c1, c2 = K1**2, K2**2
    mean_one, mean_other = smooth(one), smooth(other)
    var_one, var_other = smooth(one**2) - mean_one**2, smooth(other**2) - mean_other**2
    covariance = smooth(one * other) - mean_one * mean_other
    index = ((2 * mean_one * mean_other + c1) * (2 * covariance + c2)) / (
        (mean_one**2 + mean_other**2 + c1) * (var_one + var_other + c2)
    )
    values: np.ndarray = index.mean(axis=(1, 2))
    return values
