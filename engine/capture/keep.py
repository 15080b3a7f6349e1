"""Attention handler for methods without gradient: keep q and k of the explained calls, run the fused kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.capture.calls import AttentionCall
from engine.capture.kernel import AttentionOperands


class OperandCapture:
    """Keeps what is needed to form A again, O(N d) per call instead of O(H N N)."""

    def __init__(self, explained: frozenset[str]) -> None:
        self._explained = explained
        self.shapes: dict[str, torch.Size] = {}
        self.operands: dict[str, AttentionOperands] = {}

    def __call__(self, call: AttentionCall) -> Tensor:
        """Handle one attention call."""
        self.shapes[call.site] = call.q.shape
        if call.site in self._explained:
            self.operands[call.site] = AttentionOperands(call.q, call.k, call.v, call.softmax_scale, call.bias())
        return call.run_fused(call.q, call.k, call.v)
