"""Attention handler for methods without gradient: keep q and k of the explained calls, run the fused kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.capture.calls import AttentionCall
from engine.capture.kernel import AttentionOperands, Fold, MapBlock, fold_forward, wide


class OperandCapture:
    """Keeps what is needed to form A again, O(N d) per call instead of O(H N N)."""

    def __init__(self, explained: frozenset[str]) -> None:
        self._explained = explained
        self.shapes: dict[str, torch.Size] = {}
        self.operands: dict[str, AttentionOperands] = {}
        self.attention: dict[str, Tensor] = {}

    def __call__(self, call: AttentionCall) -> Tensor:
        """Handle one attention call."""
        self.shapes[call.site] = call.q.shape
        if call.site in self._explained:
            self.operands[call.site] = AttentionOperands(call.q, call.k, call.v, call.softmax_scale, call.bias())
        return call.run_fused(call.q, call.k, call.v)

    def weights(self, site: str, attention: Tensor) -> Tensor:
        """Keep weights that the model wrote out itself."""
        self.shapes[site] = attention.shape
        if site in self._explained:
            self.attention[site] = attention
        return attention

    def show(self, site: str, fold: Fold) -> None:
        """Show the map of a site to ``fold``, block by block."""
        if site in self.attention:
            fold(slice(None), MapBlock(wide(self.attention[site]), None, slice(None)))
        else:
            fold_forward(self.operands[site], fold)
