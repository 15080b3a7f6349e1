"""Consequence: what a cue costs, in accuracy inside its class and in errors outside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.suspects.candidate import Candidate
from engine.suspects.observations import NONE, Observations

Z = 1.96


@dataclass(frozen=True)
class Share:
    """`k` of `n`, with the 95 % Wilson interval; empty (None) for n = 0."""

    k: int
    n: int

    @property
    def value(self) -> float | None:
        """k / n."""
        return self.k / self.n if self.n else None

    def to_json(self) -> dict[str, Any]:
        """k, n, the share and its interval."""
        low, high = wilson(self.k, self.n) if self.n else (None, None)
        return {**asdict(self), "value": self.value, "low": low, "high": high}


def wilson(k: int, n: int) -> tuple[float, float]:
    """Wilson score interval (95 %) of k out of n > 0."""
    p, z2 = k / n, Z * Z
    middle, half = p + z2 / (2 * n), Z * float(np.sqrt(p * (1 - p) / n + z2 / (4 * n * n)))
    return max((middle - half) / (1 + z2 / n), 0.0), min((middle + half) / (1 + z2 / n), 1.0)


def consequences(seen: Observations, candidate: Candidate, labels: np.ndarray) -> dict[str, Any]:
    """What the labels say of a candidate; empty without any label.

    `labels` [N], -1 for none. "accuracy_with" and "accuracy_without": inside the class, photos with and without the
    cue. "called": photos of other classes that show the cue, and how many of them are called the class;
    "called_without": the same for those that do not show it. "leaning": share of the class's correct predictions that
    show the cue.
    """
    if not (labels != NONE).any():
        return {}
    number = candidate.class_index
    shows = np.zeros(len(seen), bool)
    shows[candidate.members] = shows[candidate.elsewhere] = True
    said, own, foreign = seen.predicted == number, labels == number, (labels != number) & (labels != NONE)
    right = own & said
    return {
        "accuracy_with": _share(said, own & shows).to_json(),
        "accuracy_without": _share(said, own & ~shows).to_json(),
        "called": _share(said, foreign & shows).to_json(),
        "called_without": _share(said, foreign & ~shows).to_json(),
        "leaning": _share(shows, right).to_json(),
    }


def _share(hit: np.ndarray, among: np.ndarray) -> Share:
    return Share(int((hit & among).sum()), int(among.sum()))
