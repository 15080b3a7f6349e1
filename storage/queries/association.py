"""How strongly a word goes with a group of samples, beyond what chance would give."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

PRIOR = 0.5  # added to every count (Jeffreys): a word that was seen once says little
LEVEL = 0.05  # chance that a table of words without any association has one beyond the limit


def log_odds(
    inside: ArrayLike, outside: ArrayLike, of_inside: ArrayLike, of_outside: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-odds ratio of having the word, in the group against the others, and its z score.

    `inside` of `of_inside` samples of the group have the word, `outside` of `of_outside` others. With 1/2 added to each
    of the four counts a, b, c, d: log(a d / (b c)), over sqrt(1/a + 1/b + 1/c + 1/d). Any shapes that broadcast.
    """
    a, c = np.asarray(inside, np.float64) + PRIOR, np.asarray(outside, np.float64) + PRIOR
    b, d = np.asarray(of_inside) - a + 2 * PRIOR, np.asarray(of_outside) - c + 2 * PRIOR
    ratio = np.log(a * d / (b * c))
    return ratio, ratio / np.sqrt(1 / a + 1 / b + 1 / c + 1 / d)


def z_limit(tests: int) -> float:
    """The |z| that none of so many words would pass by chance alone, 19 times in 20 (Bonferroni, two-sided)."""
    return NormalDist().inv_cdf(1 - LEVEL / 2 / max(tests, 1))
