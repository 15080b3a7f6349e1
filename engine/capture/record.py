"""Engine ``record``: write attention out explicitly and keep A and dA of every explained call."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.capture.calls import AttentionCall, attention_weights
from engine.capture.kernel import wide


class RecordCapture:
    """Attention handler that computes softmax(QK^T)V step by step and keeps A in the graph, [B, H, s, t] per site."""

    def __init__(self, explained: frozenset[str]) -> None:
        self._explained = explained
        self.shapes: dict[str, torch.Size] = {}
        self.attention: dict[str, Tensor] = {}

    def __call__(self, call: AttentionCall) -> Tensor:
        """Handle one attention call."""
        self.shapes[call.site] = call.q.shape
        if call.site not in self._explained:
            return call.run_fused(call.q, call.k, call.v)
        with torch.autocast(call.q.device.type, enabled=False):  # A and dA of half precision: in float32
            weights = attention_weights(wide(call.q), wide(call.k), call.softmax_scale, call.bias())
            return (self._kept(call.site, weights) @ wide(call.v)).to(call.v.dtype)

    def weights(self, site: str, attention: Tensor) -> Tensor:
        """Keep weights that the model wrote out itself."""
        self.shapes[site] = attention.shape
        return self._kept(site, attention) if site in self._explained else attention

    def _kept(self, site: str, attention: Tensor) -> Tensor:
        if torch.is_grad_enabled() and not attention.requires_grad:
            attention.requires_grad_()  # the first explained call of a frozen model
        self.attention[site] = attention
        return attention

    def gradients(self, score: Tensor, keep_graph: bool, gain: float = 1.0) -> dict[str, Tensor]:
        """Return dA = d score.sum() / dA per site, in at least float32; zeros where the score does not depend on a map.

        ``gain`` multiplies the score on its way through the graph and divides what arrives.
        """
        maps = list(self.attention.values())
        total = score.sum() if gain == 1 else wide(score).sum() * gain
        grads = torch.autograd.grad(total, maps, retain_graph=keep_graph, allow_unused=True)
        return {
            site: torch.zeros_like(wide(a)) if g is None else wide(g) / gain
            for site, a, g in zip(self.attention, maps, grads, strict=True)
        }
