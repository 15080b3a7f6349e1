"""Generic Attention-model Explainability."""

from __future__ import annotations

from torch import Tensor

from engine.capture.kernel import MapBlock
from engine.methods.method import LayerProduct


class GAE(LayerProduct):
    """R <- R + A_bar R with A_bar = mean_h relu(dA * A), one step per layer (eq. 5 to 7).

    Chefer, Gur, Wolf, *Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder
    Transformers*, ICCV 2021. The identity that R starts from is not part of the answer: with a CLS read-out it only
    concerns the CLS column, which is dropped anyway; with mean pooling it would add one constant to every patch.
    """

    name = "gae"
    paper = "Chefer, Gur, Wolf, ICCV 2021, eq. 5-7"
    description = "gradient-weighted attention, propagated through all layers"

    def weights(self, block: MapBlock) -> Tensor:
        """relu(dA * A) of each head."""
        return block.product.clamp(min=0)
