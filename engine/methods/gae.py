"""Generic Attention-model Explainability."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from engine.capture.kernel import Fold, MapBlock
from engine.capture.row_fold import RowFold
from engine.errors import EngineError
from engine.methods.method import LayerProduct
from engine.models.relation import Relation
from engine.relation import Averages, Related, Rules, related_matrices, related_rows


class GAE(LayerProduct):
    """R <- R + A_bar R with A_bar = mean_h relu(dA * A), one step per layer (eq. 5 to 7); between streams eq. 8 to 11.

    Chefer, Gur, Wolf, *Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder
    Transformers*, ICCV 2021. The identity that R starts from is not part of the answer of a single stream: with a CLS
    read-out it only concerns the CLS column, which is dropped anyway; with mean pooling it would add one constant to
    every patch.

    The options are the paper's ablations: ``normalize`` (eq. 8-9), ``self_in_rule_10``, ``aggregate`` (False replaces R
    instead of adding to it; needs ``normalize=False``, as in their code) and ``use_lrp`` (the LRP relevance of A in
    place of A). The first three only concern models with several streams, ``aggregate`` apart.
    """

    name = "gae"
    paper = "Chefer, Gur, Wolf, ICCV 2021, eq. 5-11"
    description = "gradient-weighted attention, propagated through all layers"

    def __init__(
        self, normalize: bool = True, self_in_rule_10: bool = True, aggregate: bool = True, use_lrp: bool = False
    ) -> None:
        if normalize and not aggregate:
            raise EngineError("gae with aggregate=False needs normalize=False: replaced relevancies have negative rows")
        self.normalize = normalize
        self.self_in_rule_10 = self_in_rule_10
        self.aggregate = self.skip = aggregate
        if use_lrp:
            self.lrp, self.engines = "conserving", ("record",)

    def weights(self, block: MapBlock) -> Tensor:
        """relu(dA * A) of each head."""
        return block.product.clamp(min=0)

    def folded(self, out: Tensor, row: Tensor) -> Fold:
        """A row of eq. 6, described by its data: a kernel may form it without the map."""
        return RowFold(row, out, super().folded(out, row))

    def pooled(self, out: Tensor, row: Tensor) -> Fold:
        """The pool's own map, likewise."""
        return RowFold(row, out, super().pooled(out, row))

    def related(self, relation: Relation, averages: Averages, rules: Rules, row: Tensor | None) -> Related:
        """Eq. 6 to 11; rows by vector chains where the model is an encoder and a decoder."""
        rules = replace(rules, normalize=self.normalize, self_in_rule_10=self.self_in_rule_10, aggregate=self.aggregate)
        if row is not None and self.aggregate and relation.is_encoder_decoder:
            return related_rows(relation, row, averages, rules)
        return related_matrices(relation, averages, rules)
