"""The reference of a run of pairs: what pictures score with the captions of other pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Shuffled:
    """Quantiles of the scores of shuffled pairs, evenly spaced from lowest to highest; `n` pairs were scored."""

    quantiles: NDArray[np.float64]
    n: int

    @classmethod
    def of(cls, model: Mapping[str, Any]) -> Shuffled | None:
        """The reference in the model card of a run; None when it has none."""
        given = model.get("shuffled")
        quantiles = given.get("quantiles") if isinstance(given, Mapping) else None
        if not isinstance(given, Mapping) or not isinstance(quantiles, list) or len(quantiles) < 2:
            return None
        return cls(np.asarray(quantiles, dtype=np.float64), int(given.get("shuffled") or 0))

    @property
    def median(self) -> float:
        """What half of the shuffled pairs score at most."""
        return float(np.median(self.quantiles))

    def percentile(self, score: float) -> float:
        """Percent of the shuffled pairs that score lower, as the column `clip_percentile` has it."""
        below = np.nextafter(float(score), -np.inf)
        return float(np.interp(below, self.quantiles, np.linspace(0, 100, len(self.quantiles))))

    def shares(self, edges: Sequence[float]) -> NDArray[np.float64]:
        """Share of the shuffled pairs in each bin [edge, next edge) [len(edges) - 1]; the last bin includes its end."""
        below = np.searchsorted(self.quantiles, np.asarray(edges, dtype=np.float64), side="left").astype(np.float64)
        below[-1] = np.searchsorted(self.quantiles, edges[-1], side="right")
        return np.diff(below) / len(self.quantiles)
