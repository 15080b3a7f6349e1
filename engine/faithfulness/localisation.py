"""Does the relevancy lie where the object is? Pointing game, energy and relevancy inside, each beside its chance value.

Pointing game: Zhang et al., Top-down Neural Attention by Excitation Backprop (2016): a hit when the maximum lies in
the region or within 15 pixels of it. Energy-based pointing game: Wang et al., Score-CAM (2020), section 4.3.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from engine.faithfulness.estimates import Estimate, Means, estimates
from engine.faithfulness.regions import PROTOCOL_SIZE, Map, Mask, Pair, Size, Unusable
from engine.faithfulness.totals import Totals

TOLERANCE = 15.0  # pixels, at 224 x 224
FIELDS = ("pointing", "pointing_chance", "energy", "inside", "inside_chance")


class LocalisationTotals(Totals):
    """Numbers of many samples, and why others were left out. `tolerance` is in pixels of `size` (rows, columns)."""

    def __init__(self, tolerance: float = TOLERANCE, size: Size = PROTOCOL_SIZE) -> None:
        super().__init__(size)
        self.tolerance = tolerance

    def _row(self, pair: Pair) -> tuple[float, ...]:
        seen = np.where(pair.count, pair.relevancy, -np.inf)
        hit, chance = pointing_game(seen, pair.region, self.tolerance)
        inside, area = relevancy_inside(pair.relevancy, pair.region, pair.count)
        energy = energy_inside(pair.relevancy, pair.region, pair.count)
        return (hit, chance, energy, inside, area)

    def results(self, seed: int = 0) -> dict[str, Estimate]:
        """Means over samples, in 0..1, with 95 % bootstrap intervals: `FIELDS`, and `lift`, inside - inside_chance."""
        rows = np.array(self._rows, np.float64).reshape(-1, len(FIELDS))
        rows = np.column_stack([rows, rows[:, 3] - rows[:, 4]])
        columns = {name: partial(_column, i) for i, name in enumerate((*FIELDS, "lift"))}
        return estimates(rows, columns, seed)


def _column(index: int, means: Means) -> Means:
    return means[:, index]


def pointing_game(relevancy: Map, region: Mask, tolerance: float = TOLERANCE) -> tuple[float, float]:
    """(hit, chance) of one map and its region, both [H, W].

    Hit is 1 when the maximum lies at most `tolerance` pixels (Euclidean, from centre to centre) from the region; of
    several equal maxima their mean, so that a map without one best place has no luck with the first corner. Chance is
    the share of the pixels that would have been a hit.
    """
    allowed = distance_transform_edt(~region) <= tolerance
    candidates = np.isfinite(relevancy)
    return float(allowed[relevancy == relevancy.max()].mean()), float(allowed[candidates].mean())


def energy_inside(relevancy: Map, region: Mask, count: Mask | None = None) -> float:
    """Share of the min-max map's sum that lies inside the region: Score-CAM's energy-based pointing game."""
    count = np.ones(region.shape, bool) if count is None else count
    energy = (relevancy - relevancy.min()).astype(np.float64)
    return _share(energy, region, count)


def relevancy_inside(relevancy: Map, region: Mask, count: Mask | None = None) -> tuple[float, float]:
    """(share, chance): how much of the positive relevancy lies inside, and how much of the picture does.

    Raises `Unusable` for a map without positive relevancy: it has nothing to share out.
    """
    count = np.ones(region.shape, bool) if count is None else count
    positive = relevancy.clip(min=0).astype(np.float64)
    return _share(positive, region, count), float(region[count].mean())


def _share(values: NDArray[np.float64], region: Mask, count: Mask) -> float:
    total = values[count].sum()
    if not total > 0:
        raise Unusable("no positive relevancy")
    return float(values[region & count].sum() / total)
