"""Carry a read-out row through a tower, from its last attention to its first."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from engine.capture.kernel import Fold, MapBlock, wide
from engine.methods import LastMap, LayerProduct, Method
from engine.methods.method import project_heads
from engine.models.adapter import Tower


def explained_sites(tower: Tower, method: Method, start_layer: int) -> tuple[str, ...]:
    """Return the attention modules that the method reads, first to last.

    Raises:
        EngineError: ``start_layer`` is not a layer of the tower (negative counts from the end).
    """
    sites = tower.layers[tower.first_layer(start_layer) :] + ((tower.pool,) if tower.pool else ())
    return sites[-1:] if isinstance(method, LastMap) else sites


class Walk(ABC):
    """State of one tower and one target while its attention maps are visited, last to first."""

    def __init__(self, tower: Tower) -> None:
        self.tower = tower

    @abstractmethod
    def visit(self, site: str) -> Fold:
        """Return the function that takes in the blocks of this map."""

    @abstractmethod
    def finish(self, site: str) -> None:
        """Close this map: all its blocks have been seen."""

    @abstractmethod
    def answer(self) -> Tensor:
        """Return the relevancy of all tokens of the tower, [B, N]."""


class ProductWalk(Walk):
    """r <- r @ factor(A_l), l from last to first: equals ``start @ R`` without ever forming R.

    The row is ``rest + moved``: what is left of the read-out itself, and what attention has moved to other tokens.
    """

    def __init__(self, tower: Tower, method: LayerProduct) -> None:
        super().__init__(tower)
        self._method = method
        self._rest = wide(tower.start)
        self._moved = torch.zeros_like(self._rest)
        self._out = self._moved

    def visit(self, site: str) -> Fold:
        """Fold a self-attention, or the pool that comes first on the way back."""
        row, method = self._rest + self._moved, self._method
        if site == self.tower.pool:
            self._out = row.new_zeros(row.shape[0], self.tower.tokens - self.tower.pool_offset)
            return method.pooled(self._out, row)
        self._out = self._moved.clone() if method.skip else torch.zeros_like(row)
        return method.folded(self._out, row)

    def finish(self, site: str) -> None:
        """The accumulator becomes what has moved; a pool or a factor without skip leaves nothing behind."""
        self._moved = self.tower.padded(self._out)
        if site == self.tower.pool or not self._method.skip:
            self._rest = torch.zeros_like(self._moved)

    def answer(self) -> Tensor:
        """start @ (R - I) with skip connections, start @ R without."""
        return self._moved


class LastMapWalk(Walk):
    """Collects the read-out row of A and dA per head from the tower's last map."""

    def __init__(self, tower: Tower, method: LastMap) -> None:
        super().__init__(tower)
        self.row = wide(tower.start)
        self._method = method
        self._attention: Tensor | None = None
        self._gradient: Tensor | None = None

    def visit(self, site: str) -> Fold:
        """Add up the blocks."""

        def fold(samples: slice, block: MapBlock) -> None:
            if self._attention is None:
                _, heads, _, keys = block.attention.shape
                self._attention = self.row.new_zeros(self.row.shape[0], heads, keys)
                self._gradient = None if block.gradient is None else torch.zeros_like(self._attention)
            self._attention[samples] += project_heads(self.row[samples], block, block.attention)
            if self._gradient is not None and block.gradient is not None:
                self._gradient[samples] += project_heads(self.row[samples], block, block.gradient)

        return fold

    def finish(self, site: str) -> None:
        """Nothing to close."""

    def answer(self) -> Tensor:
        """The method's map of the collected rows."""
        content = self.tower.content
        if self._attention is None:  # no query row had a gradient: the score does not depend on this tower
            self._attention = self.row.new_zeros(content.shape[0], 1, content.shape[1])
            self._gradient = torch.zeros_like(self._attention)
        content = content[:, -self._attention.shape[-1] :]
        return self.tower.padded(self._method.combine(self._attention, self._gradient, content))


class WholeMapWalk(Walk):
    """Collects the whole last map per head, for families whose authors scale over all of it (VisualBERT)."""

    def __init__(self, tower: Tower, method: LastMap) -> None:
        super().__init__(tower)
        self.row = wide(tower.start)
        self._method = method
        batch, tokens = tower.content.shape
        self._shape = (batch, tokens, tokens)
        self._attention: Tensor | None = None
        self._gradient: Tensor | None = None

    def visit(self, site: str) -> Fold:
        """Put the blocks together."""

        def fold(samples: slice, block: MapBlock) -> None:
            batch, tokens, _ = self._shape
            if self._attention is None:
                self._attention = self.row.new_zeros(batch, block.attention.shape[1], tokens, tokens)
                self._gradient = None if block.gradient is None else torch.zeros_like(self._attention)
            self._attention[samples, :, block.rows] = block.attention.to(self.row.dtype)
            if self._gradient is not None and block.gradient is not None:
                self._gradient[samples, :, block.rows] = block.gradient.to(self.row.dtype)

        return fold

    def finish(self, site: str) -> None:
        """Nothing to close."""

    def answer(self) -> Tensor:
        """The read-out row of the method's map."""
        if self._attention is None:
            return torch.zeros_like(self.row)
        matrix = self._method.combine_map(self._attention, self._gradient, valid_map(self.tower), relation=False)
        return (self.row[:, None, :] @ matrix).squeeze(1)


def valid_map(tower: Tower) -> Tensor:
    """Entries of a tower's map that belong to no padding, [B, N, N] boolean."""
    valid = torch.ones_like(tower.content) if tower.valid is None else tower.valid
    return valid[:, :, None] & valid[:, None, :]


def start_walk(tower: Tower, method: Method) -> Walk:
    """Return the walk that fits the method."""
    if isinstance(method, LayerProduct):
        return ProductWalk(tower, method.adapted(tower))
    assert isinstance(method, LastMap)
    return WholeMapWalk(tower, method) if tower.whole_map else LastMapWalk(tower, method)
