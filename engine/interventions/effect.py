"""Effects: a change of the model's answer beside the change under a control, with intervals."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95
FLOOR = 0.01  # probability; a control effect below counts as this much in the ratio, or it would divide by nothing
SMALLEST = 0.05  # change of probability that is worth telling a person about


@dataclass(frozen=True)
class Effect:
    """Change of p(class) under an intervention, in the direction that the cue hypothesis predicts.

    Attributes:
        n: samples.
        mean, low, high: mean change and its 95 % bootstrap interval.
        control_mean, control_low, control_high: the same under the control.
        median, control_median: medians over the samples.
        ratio: median / max(control median, 0.01).
        flips, control_flips: share of samples whose predicted class changed to (transplant) or from (removal) it.
    """

    n: int
    mean: float
    low: float
    high: float
    control_mean: float
    control_low: float
    control_high: float
    median: float
    control_median: float
    ratio: float
    flips: float
    control_flips: float

    @property
    def verdict(self) -> str:
        """What it proves.

        "verified": the interval lies above the control's, and the change is worth telling about. "refuted": the
        change is surely too small for that. "unverified": neither.
        """
        if self.low > self.control_high and self.mean >= SMALLEST:
            return "verified"
        return "refuted" if self.high < SMALLEST else "unverified"

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, rounded to six digits, and the verdict."""
        numbers = {name: round(value, 6) for name, value in asdict(self).items()}
        return {**numbers, "n": self.n, "verdict": self.verdict}


def effect_of(change: np.ndarray, control: np.ndarray, flips: np.ndarray, control_flips: np.ndarray) -> Effect:
    """Sum up n samples: changes of probability [n] and flips [n] (booleans or shares), under cue and control."""
    low, high = interval(change)
    control_low, control_high = interval(control)
    median, control_median = float(np.median(change)), float(np.median(control))
    return Effect(
        n=len(change),
        mean=float(change.mean()),
        low=low,
        high=high,
        control_mean=float(control.mean()),
        control_low=control_low,
        control_high=control_high,
        median=median,
        control_median=control_median,
        ratio=median / max(control_median, FLOOR),
        flips=float(np.mean(flips)),
        control_flips=float(np.mean(control_flips)),
    )


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval (percentiles) of the mean of n values; the same seed gives the same interval."""
    if not len(values):
        return float("nan"), float("nan")
    draws = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    means = np.asarray(values, np.float64)[draws].mean(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
