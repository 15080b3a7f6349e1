"""Curves: a score against the share of the input that was taken away or put in, its area, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import EngineError
from engine.interventions.effect import LEVEL, RESAMPLES

DRAWS = 4_000_000  # resampled rows that are held at once
PERCENT = 100.0


@dataclass(frozen=True)
class Curve:
    """Mean score at every step over n samples, with 95 % bootstrap intervals over the samples; NaN where n is 0.

    Attributes:
        steps: shares of the input, [K].
        values, low, high: mean score and its interval, [K] each.
        area, area_low, area_high: area under the mean curve, times 100, and its interval.
        n: samples.
    """

    steps: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    area: float
    area_low: float
    area_high: float
    n: int

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, rounded to six digits; NaN becomes None."""
        arrays = {name: _plain(getattr(self, name)) for name in ("steps", "values", "low", "high")}
        areas = {name: _plain([getattr(self, name)])[0] for name in ("area", "area_low", "area_high")}
        return {**arrays, **areas, "n": self.n}


@dataclass(frozen=True)
class Gap:
    """Mean over n samples of a difference of two areas (times 100), with its paired 95 % bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, rounded to six digits; NaN becomes None."""
        return {
            **dict(zip(("mean", "low", "high"), _plain([self.mean, self.low, self.high]), strict=True)),
            "n": self.n,
        }


def area(steps: Sequence[float] | np.ndarray, values: Sequence[float] | np.ndarray) -> float:
    """Area under a curve by the trapezoid rule, times 100: ``np.trapezoid(values, steps) * 100``.

    The authors' definition for their ViT tables (Transformer-Explainability, issue 31): x from 0, where the score is
    that of the whole input, to 0.9; never divided by the width of x.
    """
    return float(np.trapezoid(np.asarray(values, np.float64), np.asarray(steps, np.float64)) * PERCENT)


def areas(steps: Sequence[float] | np.ndarray, values: np.ndarray) -> np.ndarray:
    """:func:`area` of every sample's own curve: scores [..., K] -> [...]."""
    found = np.trapezoid(np.asarray(values, np.float64), np.asarray(steps, np.float64), axis=-1)
    return np.asarray(found) * PERCENT


def curve_of(steps: Sequence[float] | np.ndarray, scores: np.ndarray, seed: int = 0) -> Curve:
    """Sum up the scores of S samples at K steps, [S, K].

    The area of a mean is the mean of the areas, so one set of resamples gives both intervals; those of a step are what
    ``engine.interventions.effect.interval`` gives for its column.

    Raises:
        EngineError: another number of steps, steps that do not rise, or NaN among the scores.
    """
    xs, ys = _checked(steps, scores)
    if not len(ys):
        nothing = np.full(len(xs), np.nan)
        return Curve(xs, nothing, nothing, nothing, float("nan"), float("nan"), float("nan"), 0)
    means = resampled_means(ys, seed)
    low, high = bounds(means)
    area_low, area_high = bounds(areas(xs, means))
    values = ys.mean(axis=0)
    return Curve(xs, values, low, high, area(xs, values), float(area_low), float(area_high), len(ys))


def gap(positive: np.ndarray, negative: np.ndarray, steps: Sequence[float] | np.ndarray, seed: int = 0) -> Gap:
    """By how much the area without the least relevant first (LeRF) exceeds that without the most relevant first (MoRF).

    Above 0 the order of the map matters in the right direction; a random order gives 0 on average. Needs no
    protocol-specific "lower is better" (Samek et al., IEEE TNNLS 2017; Tomsett et al., AAAI 2020).

    Args:
        positive, negative: scores of the same S samples, most and least relevant first, [S, K] each.
        steps: [K].
        seed: of the resamples.

    Raises:
        EngineError: as :func:`curve_of`, and another number of samples.
    """
    return difference(negative, positive, steps, seed)


def difference(first: np.ndarray, second: np.ndarray, steps: Sequence[float] | np.ndarray, seed: int = 0) -> Gap:
    """Mean of area(first) - area(second) over the same S samples, paired: the scores [S, K] of two methods, say."""
    (xs, one), (_, other) = _checked(steps, first), _checked(steps, second)
    if len(one) != len(other):
        raise EngineError(f"a paired difference needs the same samples, not {len(one)} and {len(other)}")
    if not len(one):
        return Gap(float("nan"), float("nan"), float("nan"), 0)
    differences = areas(xs, one) - areas(xs, other)
    low, high = bounds(resampled_means(differences[:, None], seed)[:, 0])
    return Gap(float(differences.mean()), float(low), float(high), len(one))


def resampled_means(values: np.ndarray, seed: int) -> np.ndarray:
    """Means of resamples of S rows, drawn with replacement: [S, C] -> [RESAMPLES, C].

    All columns share the draws, and how often a row was drawn stands in for the row: no [RESAMPLES, S, C] is made.
    """
    rng, samples = np.random.default_rng(seed), len(values)
    block, parts = max(1, DRAWS // samples), []
    for start in range(0, RESAMPLES, block):
        rows = min(block, RESAMPLES - start)
        draws = rng.integers(0, samples, (rows, samples)) + samples * np.arange(rows)[:, None]
        counts = np.bincount(draws.reshape(-1), minlength=rows * samples).reshape(rows, samples)
        parts.append(counts.astype(np.float64) @ values / samples)
    return np.concatenate(parts)


def bounds(means: np.ndarray) -> tuple[Any, Any]:
    """95 % interval of resampled means, [RESAMPLES, ...]: percentiles over the first axis."""
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high


def _checked(steps: Sequence[float] | np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    xs, ys = np.asarray(steps, np.float64), np.asarray(scores, np.float64)
    if xs.ndim != 1 or (np.diff(xs) <= 0).any():
        raise EngineError("the steps of a curve must be one rising row of numbers")
    if ys.ndim != 2 or ys.shape[1] != len(xs):
        raise EngineError(f"scores must be [samples, {len(xs)}], one column per step, not {list(ys.shape)}")
    if np.isnan(ys).any():
        raise EngineError(
            f"{int(np.isnan(ys).any(axis=1).sum())} of {len(ys)} samples have NaN scores: leave them out and count them"
        )
    return xs, ys


def _plain(values: Any) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 6) for value in values]
