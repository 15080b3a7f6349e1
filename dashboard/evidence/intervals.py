"""Numbers with their 95 % intervals. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

Z = 1.96


@dataclass(frozen=True)
class Estimate:
    """A value of n samples with its 95 % interval; None where nothing can be said."""

    n: int
    value: float | None
    low: float | None
    high: float | None

    def percent(self) -> str:
        """`41% (28% to 55%)`, or "unknown"."""
        if self.value is None:
            return "unknown"
        interval = "" if self.low is None or self.high is None else f" ({self.low:.0%} to {self.high:.0%})"
        return f"{self.value:.0%}{interval}"

    def number(self) -> str:
        """`0.312 (0.281 to 0.343)`, or "unknown"."""
        if self.value is None:
            return "unknown"
        interval = "" if self.low is None or self.high is None else f" ({self.low:.3g} to {self.high:.3g})"
        return f"{self.value:.3g}{interval}"


def share(k: int, n: int) -> Estimate:
    """k of n with the Wilson score interval (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    if not n:
        return Estimate(0, None, None, None)
    p, z2 = k / n, Z * Z
    middle, half = p + z2 / (2 * n), Z * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return Estimate(n, p, max((middle - half) / (1 + z2 / n), 0.0), min((middle + half) / (1 + z2 / n), 1.0))


def mean(n: int, value: float | None, deviation: float | None) -> Estimate:
    """A mean of n values with standard deviation `deviation`, with the normal interval, mean ± 1.96 s / sqrt(n)."""
    if not n or value is None:
        return Estimate(0, None, None, None)
    if n < 2 or deviation is None:
        return Estimate(n, value, None, None)
    half = Z * deviation / sqrt(n)
    return Estimate(n, value, value - half, value + half)
