"""Numbers over many samples with bootstrap intervals: means, and ratios of sums over the dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.faithfulness.curves import bounds, resampled_means

Means = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number over `n` samples, its 95 % percentile interval; NaN without samples, no interval with one."""

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, rounded to six digits; NaN becomes None."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {**{name: None if np.isnan(x) else round(float(x), 6) for name, x in numbers.items()}, "n": self.n}


def estimates(
    rows: NDArray[np.float64], numbers: Mapping[str, Callable[[Means], Means]], seed: int = 0
) -> dict[str, Estimate]:
    """Each number with its interval; all of them share the resamples.

    Args:
        rows: what every sample adds, [n, k].
        numbers: functions of mean rows [r, k] -> [r]; a ratio of sums over the dataset is a ratio of their means.
        seed: of the resamples.
    """
    n = len(rows)
    if n == 0:
        return {name: Estimate(np.nan, np.nan, np.nan, 0) for name in numbers}
    whole = rows.mean(axis=0, keepdims=True)
    drawn = resampled_means(rows, seed) if n > 1 else np.full((1, rows.shape[1]), np.nan)
    result = {}
    for name, number in numbers.items():
        low, high = bounds(number(drawn))
        result[name] = Estimate(float(number(whole)[0]), float(low), float(high), n)
    return result
