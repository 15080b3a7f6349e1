"""Attention rollout."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.capture.kernel import MapBlock
from engine.methods.method import LayerProduct, project
from engine.rules import row_normalise


class Rollout(LayerProduct):
    """Product over layers of the row-normalised (mean_h A + I). Class-agnostic.

    Abnar, Zuidema, *Quantifying Attention Flow in Transformers*, ACL 2020, in the form that the authors of GAE use.
    """

    name = "rollout"
    paper = "Abnar, Zuidema, ACL 2020"
    description = "attention with skip connections, multiplied over layers; the same for every target"
    needs_gradient = False
    skip = False

    def weights(self, block: MapBlock) -> Tensor:
        """A of each head."""
        return block.attention

    def matrix(self, average: Tensor) -> Tensor:
        """Row-normalised (mean_h A + I)."""
        return row_normalise(average + torch.eye(average.shape[-1], dtype=average.dtype, device=average.device))

    def fold(self, out: Tensor, row: Tensor, block: MapBlock) -> None:
        """Add ``u @ mean_h A + u`` with u = row / (1 + row sum of mean_h A)."""
        row_sums = block.attention.sum(dim=-1).mean(dim=1)
        scaled = torch.zeros_like(row)
        scaled[:, block.rows] = row[:, block.rows] / (1 + row_sums).to(row.dtype)
        out += project(scaled, block, block.attention) + scaled
