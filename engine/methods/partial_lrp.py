"""Partial LRP: relevance of the last attention map."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.methods.method import LastMap, stretched_map


class PartialLRP(LastMap):
    """LRP down to the last attention map, R_A, averaged over heads; the read-out row.

    Voita et al., *Analyzing Multi-Head Self-Attention*, ACL 2019, as the baseline of Chefer, Gur, Wolf (CVPR and ICCV
    2021). For ViT their rules are the classic ones and R_A is clamped at zero; for VisualBERT, LXMERT and DETR they are
    the conserving ones, nothing is clamped, and the whole map is min-max scaled for display (``minmax=False`` leaves
    that out). With ``gradient`` R_A is multiplied by dA before the clamp, an ablation of the CVPR 2021 paper.
    """

    name = "partial_lrp"
    paper = "Voita et al., ACL 2019, on attention as in Chefer, Gur, Wolf, CVPR 2021 and ICCV 2021"
    description = "LRP relevance of the last attention map"
    engines = ("record",)
    lrp = "partial"

    def __init__(self, minmax: bool = True, gradient: bool = False) -> None:
        self.minmax = minmax
        self.needs_gradient = gradient

    def combine(self, attention: Tensor, gradient: Tensor | None, content: Tensor) -> Tensor:
        """mean_h relu(R_A), or mean_h relu(R_A * dA); ``attention`` holds R_A."""
        relevance = attention if gradient is None else attention * gradient
        return relevance.clamp(min=0).mean(dim=1)

    def combine_map(self, attention: Tensor, gradient: Tensor | None, valid: Tensor, relation: bool) -> Tensor:
        """mean_h R_A, signed, min-max over the whole map."""
        relevance = attention if gradient is None else attention * gradient
        average = relevance.mean(dim=1)
        return stretched_map(average, valid) if self.minmax else torch.where(valid, average, 0.0)
