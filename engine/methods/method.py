"""The two kinds of method over attention maps: products of layers, and readings of the last map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from engine.capture.kernel import MapBlock


class Method(ABC):
    """Name and needs of a method; see the subclasses for what it computes."""

    name: ClassVar[str]
    paper: ClassVar[str]
    description: ClassVar[str]
    needs_gradient: ClassVar[bool] = True
    engines: ClassVar[tuple[str, ...]] = ("stream", "record")


class LayerProduct(Method):
    """Relevancy read from R, a product of one factor per layer, later layers on the left.

    With ``skip`` the factor is I + M_l, and what is carried and returned is R - I: the part that attention has moved.
    Kept apart from the identity it loses no digits where relevancies are much smaller than one. Without ``skip`` the
    factor is M_l itself. ``record`` multiplies whole matrices (:meth:`matrix`), ``stream`` carries one row
    (:meth:`fold`), from the last layer to the first. Both give the same numbers.
    """

    skip: ClassVar[bool] = True

    @abstractmethod
    def weights(self, block: MapBlock) -> Tensor:
        """Return the map of each head that enters the product: [b, H, r, t], non-negative."""

    def matrix(self, average: Tensor) -> Tensor:
        """Turn the head average of a self-attention into M_l: [B, s, s] -> [B, s, s]."""
        return average

    def fold(self, out: Tensor, row: Tensor, block: MapBlock) -> None:
        """Add a block's share of ``row @ M_l`` to ``out`` in place; ``row`` and ``out`` are [b, s]."""
        out += project(row, block, self.weights(block))


class LastMap(Method):
    """Relevancy read off the read-out row of each tower's last attention map."""

    @abstractmethod
    def combine(self, attention: Tensor, gradient: Tensor | None, content: Tensor) -> Tensor:
        """Reduce head rows of A and dA, [B, H, t] each, to [B, t]; ``content`` [B, t] marks the shown tokens."""


def project(row: Tensor, block: MapBlock, maps: Tensor) -> Tensor:
    """Return ``mean_h row[rows] @ maps``: [b, s] and [b, H, r, t] -> [b, t]."""
    return project_heads(row, block, maps).mean(dim=1)


def project_heads(row: Tensor, block: MapBlock, maps: Tensor) -> Tensor:
    """Return ``row[rows] @ maps`` per head: [b, s] and [b, H, r, t] -> [b, H, t]."""
    weights = row[:, block.rows].to(maps.dtype)
    return torch.matmul(weights[:, None, None, :], maps).squeeze(2)
