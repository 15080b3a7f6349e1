"""Attention rollout."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.capture.kernel import MapBlock
from engine.methods.method import LayerProduct, project
from engine.models.adapter import Tower
from engine.models.relation import Relation, Step
from engine.relation import Averages, Related, Rules
from engine.rules import identity, row_normalise


class Rollout(LayerProduct):
    """Product over layers of the row-normalised (mean_h A + I). Class-agnostic.

    Abnar, Zuidema, *Quantifying Attention Flow in Transformers*, ACL 2020, in the form that the authors of GAE use.
    """

    name = "rollout"
    paper = "Abnar, Zuidema, ACL 2020"
    description = "attention with skip connections, multiplied over layers; the same for every target"
    needs_gradient = False
    skip = False

    def __init__(self, normalise: bool = True) -> None:
        self.normalise = normalise

    def adapted(self, tower: Tower) -> Rollout:
        """Without row normalisation where the authors' code has none (VisualBERT)."""
        return self if self.normalise == tower.normalised_rollout else Rollout(tower.normalised_rollout)

    def weights(self, block: MapBlock) -> Tensor:
        """A of each head."""
        return block.attention

    def matrix(self, average: Tensor) -> Tensor:
        """Row-normalised (mean_h A + I)."""
        skipped = average + identity(len(average), average.shape[-1], average)
        return row_normalise(skipped) if self.normalise else skipped

    def fold(self, out: Tensor, row: Tensor, block: MapBlock) -> None:
        """Add ``u @ mean_h A + u`` with u = row / (1 + row sum of mean_h A)."""
        scaled = torch.zeros_like(row)
        scaled[:, block.rows] = row[:, block.rows]
        if self.normalise:
            scaled[:, block.rows] /= (1 + block.attention.sum(dim=-1).mean(dim=1)).to(row.dtype)
        out += project(scaled, block, block.attention) + scaled

    def related(self, relation: Relation, averages: Averages, rules: Rules, row: Tensor | None) -> Related:
        """R_ss: rollout of all self-attentions; R_sq = X^T mean_h(A) Y around the last cross-attention.

        X and Y are the rollouts of both streams up to that cross-attention, as in the authors' code.
        """
        values = {}
        for query, key in relation.answers:
            if query == key:
                values[query, key] = self._product(relation.self_steps(query), averages, relation, query)
                continue
            cross = relation.last(query, key)
            left, right = (
                self._product(relation.self_steps(name, cross), averages, relation, name) for name in (query, key)
            )
            values[query, key] = left.transpose(-2, -1) @ averages[cross.site] @ right
        return Related(values)

    def _product(self, steps: list[Step], averages: Averages, relation: Relation, stream: str) -> Tensor:
        valid = relation.streams[stream].valid
        product = identity(len(valid), valid.shape[1], next(iter(averages.values())))
        for step in steps:
            product = self.matrix(averages[step.site]) @ product
        return product * valid[:, :, None]  # rows of padding lead nowhere
