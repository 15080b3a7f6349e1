"""Transformer attribution (TiBA)."""

from __future__ import annotations

from torch import Tensor

from engine.capture.kernel import MapBlock
from engine.methods.method import LayerProduct


class TransformerAttribution(LayerProduct):
    """Product over layers of I + mean_h relu(dA * R_A), R_A being the LRP relevance of A (conserving rules).

    Chefer, Gur, Wolf, *Transformer Interpretability Beyond Attention Visualization*, CVPR 2021, eq. 13 and 14. Their
    evaluation starts at layer 1, their notebook at layer 0: ``start_layer`` is the run's. Between several streams it is
    the baseline of the ICCV 2021 paper: R_sq is the last cross-attention's map alone.
    """

    name = "transformer_attribution"
    paper = "Chefer, Gur, Wolf, CVPR 2021, eq. 13-14"
    description = "LRP relevance of attention weighted by its gradient, multiplied over layers"
    engines = ("record",)
    lrp = "conserving"

    def weights(self, block: MapBlock) -> Tensor:
        """relu(dA * R_A) of each head; the block's ``attention`` holds R_A."""
        return block.product.clamp(min=0)
