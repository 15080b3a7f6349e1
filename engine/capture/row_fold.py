"""A fold described by its data, for kernels that never form a map."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from engine.capture.kernel import Fold, MapBlock


@dataclass(frozen=True)
class RowFold:
    """``out += mean_h row @ max(A * dA, 0)``: what GAE does with a layer (Chefer, Gur, Wolf, ICCV 2021, eq. 5 and 6).

    Attributes:
        row: weight of each query row, [B, s].
        out: what it is added to in place, [B, t].
        plain: the same as a function of blocks, for the plain kernel.
    """

    row: Tensor
    out: Tensor
    plain: Fold

    def __call__(self, samples: slice, block: MapBlock) -> None:
        """Take in a block of maps."""
        self.plain(samples, block)
