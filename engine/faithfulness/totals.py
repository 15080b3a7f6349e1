"""Sums over samples whose map is compared with what is known to be the object."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from engine.faithfulness.estimates import Estimate
from engine.faithfulness.regions import Mask, Pair, Size, Unusable, paired


class Totals(ABC):
    """What every sample adds, one row of numbers each, and why others were left out.

    `size` is that of the comparison (rows, columns): 224 x 224 in the authors' protocol, None for each mask's own.
    """

    def __init__(self, size: Size | None) -> None:
        self.size = size
        self.skipped: Counter[str] = Counter()
        self._rows: list[tuple[float, ...]] = []

    def add(
        self,
        relevancy: NDArray[np.floating],
        mask: Mask | None,
        void: Mask | None = None,
        picture: Size | None = None,
    ) -> str | None:
        """Count one sample: map [h, w], mask [H, W] and void pixels [H, W] of the same view of the same picture.

        `picture` is the height and width of that view: a mask of another aspect is refused, one that is merely smaller
        or larger is resized. Void pixels count as not there. Returns the reason when the sample was skipped, else None.
        """
        try:
            row = self._row(paired(relevancy, mask, void=void, picture=picture, size=self.size))
        except Unusable as error:
            self.skipped[error.reason] += 1
            return error.reason
        self._rows.append(row)
        return None

    def __len__(self) -> int:
        return len(self._rows)

    @abstractmethod
    def results(self, seed: int = 0) -> dict[str, Estimate]:
        """The numbers by name, with 95 % bootstrap intervals."""

    @abstractmethod
    def _row(self, pair: Pair) -> tuple[float, ...]:
        """What a sample adds. Raises `Unusable`."""
