"""The two kinds of method over attention maps: products of layers, and readings of the last map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import torch
from torch import Tensor

from engine.capture.kernel import Fold, MapBlock
from engine.models.adapter import Tower
from engine.models.relation import Relation
from engine.relation import Averages, Related, Rules
from engine.rules import identity, moved_update


class Method(ABC):
    """Name and needs of a method; see the subclasses for what it computes.

    ``lrp`` names the LRP variant ("conserving" or "classic") of methods that read the LRP relevance of A instead of A.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    description: ClassVar[str]
    needs_gradient: bool = True
    engines: tuple[str, ...] = ("stream", "record")
    lrp: str | None = None


class LayerProduct(Method):
    """Relevancy read from R, a product of one factor per layer, later layers on the left.

    With ``skip`` the factor is I + M_l, and what is carried and returned is R - I: the part that attention has moved.
    Kept apart from the identity it loses no digits where relevancies are much smaller than one. Without ``skip`` the
    factor is M_l itself. ``record`` multiplies whole matrices (:meth:`matrix`), ``stream`` carries one row
    (:meth:`fold`), from the last layer to the first. Both give the same numbers.
    """

    skip: bool = True

    def adapted(self, tower: Tower) -> Self:
        """The method as the authors' code for this family has it."""
        return self

    def related(self, relation: Relation, averages: Averages, rules: Rules, row: Tensor | None) -> Related:
        """Relevancy between several streams from head-averaged weights.

        The authors' form of layer products other than GAE: self-attentions multiply into R_ss, and R_sq is the last
        cross-attention alone.

        Args:
            relation: streams and steps.
            averages: head-averaged weights per site, [B, s, q].
            rules: how rows of zeros are met (GAE only).
            row: when given, [B, N], rows of R may be returned instead of matrices.
        """
        values = {}
        for query, key in relation.answers:
            if query != key:
                values[query, key] = averages[relation.last(query, key).site]
                continue
            first = next(iter(averages.values()))
            tokens = relation.streams[query].content.shape[1]
            moved = first.new_zeros(len(first), tokens, tokens)
            for step in relation.self_steps(query):
                matrix = self.matrix(averages[step.site])
                moved = moved_update(moved, matrix)
            values[query, key] = moved + identity(len(moved), tokens, moved)
        return Related(values)

    @abstractmethod
    def weights(self, block: MapBlock) -> Tensor:
        """Return the map of each head that enters the product: [b, H, r, t], non-negative."""

    def matrix(self, average: Tensor) -> Tensor:
        """Turn the head average of a self-attention into M_l: [B, s, s] -> [B, s, s]."""
        return average

    def fold(self, out: Tensor, row: Tensor, block: MapBlock) -> None:
        """Add a block's share of ``row @ M_l`` to ``out`` in place; ``row`` and ``out`` are [b, s]."""
        out += project(row, block, self.weights(block))

    def folded(self, out: Tensor, row: Tensor) -> Fold:
        """The fold of a whole layer: adds ``row @ M_l`` to ``out`` in place; ``row`` and ``out`` are [B, s]."""

        def fold(samples: slice, block: MapBlock) -> None:
            self.fold(out[samples], row[samples], block)

        return fold

    def pooled(self, out: Tensor, row: Tensor) -> Fold:
        """The fold of an attention pool: adds ``mean_h row @ weights`` to ``out``; [B, s] and [B, t]."""

        def fold(samples: slice, block: MapBlock) -> None:
            out[samples] += project(row[samples], block, self.weights(block))

        return fold


class LastMap(Method):
    """Relevancy read off the read-out row of each tower's last attention map."""

    @abstractmethod
    def combine(self, attention: Tensor, gradient: Tensor | None, content: Tensor) -> Tensor:
        """Reduce head rows of A and dA, [B, H, t] each, to [B, t]; ``content`` [B, t] marks the shown tokens."""

    @abstractmethod
    def combine_map(self, attention: Tensor, gradient: Tensor | None, valid: Tensor, relation: bool) -> Tensor:
        """Reduce whole maps of A and dA, [B, H, s, t] each, to [B, s, t].

        Args:
            attention: A of the last layer.
            gradient: dA, or None for methods without gradient.
            valid: [B, s, t], entries that belong to no padding.
            relation: whether the model has several streams; the authors' code then scales differently.
        """


def project(row: Tensor, block: MapBlock, maps: Tensor) -> Tensor:
    """Return ``mean_h row[rows] @ maps``: [b, s] and [b, H, r, t] -> [b, t]; of some heads, their part of the mean."""
    return project_heads(row, block, maps).mean(dim=1) * block.share


def project_heads(row: Tensor, block: MapBlock, maps: Tensor) -> Tensor:
    """Return ``row[rows] @ maps`` per head: [b, s] and [b, H, r, t] -> [b, H, t]."""
    weights = row[:, block.rows].to(maps.dtype)
    return torch.matmul(weights[:, None, None, :], maps).squeeze(2)


def stretched_map(maps: Tensor, valid: Tensor) -> Tensor:
    """Min-max over the valid entries of whole maps [B, s, t]; NaN for a constant map, zero at padding."""
    low = maps.masked_fill(~valid, float("inf")).amin(dim=(1, 2), keepdim=True)
    high = maps.masked_fill(~valid, float("-inf")).amax(dim=(1, 2), keepdim=True)
    return ((maps - low) / (high - low)).masked_fill(~valid, 0.0)
