"""Raw attention of the last layer."""

from __future__ import annotations

from torch import Tensor

from engine.methods.method import LastMap


class RawAttention(LastMap):
    """The read-out row of the last attention map, averaged over heads. Class-agnostic."""

    name = "raw_attention"
    paper = "baseline in Chefer, Gur, Wolf, ICCV 2021"
    description = "head-averaged attention of the last layer; the same for every target"
    needs_gradient = False

    def combine(self, attention: Tensor, gradient: Tensor | None, content: Tensor) -> Tensor:
        """mean_h a_h."""
        return attention.mean(dim=1)

    def combine_map(self, attention: Tensor, gradient: Tensor | None, valid: Tensor, relation: bool) -> Tensor:
        """mean_h A_h."""
        return attention.mean(dim=1)
