"""Engine ``stream``: fused forward, relevancy formed inside the backward of each attention call.

Because R_L = (I + A_L) ... (I + A_1), a read-out row e^T R is r <- r + r A_l from the last layer to the first: the
order in which the backward pass visits them. The state is O(N) per sample and target, not N x N.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from engine.capture.backward import attention_backward
from engine.capture.calls import AttentionCall, additive_bias
from engine.capture.fused import FusedCall
from engine.capture.kernel import AttentionOperands, Fold, MapBlock, wide
from engine.capture.packed import Packing, unpacked

Visitor = Callable[[str], Fold | None]
"""Asked for a fold when the backward pass reaches a site; None when the site is not of interest."""


class StreamCapture:
    """Attention handler that runs the fused kernel and calls a visitor during the backward pass.

    ``anchor`` is a scalar that makes every explained call part of the graph: the gradient of the score is taken with
    respect to it, so autograd reaches all of them and computes nothing below the first.
    """

    def __init__(self, explained: frozenset[str]) -> None:
        self._explained = explained
        self.anchor = torch.zeros((), requires_grad=True)
        self.shapes: dict[str, torch.Size] = {}
        self.finish: Callable[[str], None] = _ignore
        self.visit: Visitor = _uninterested
        self.gain = 1.0

    def __call__(self, call: AttentionCall) -> Tensor:
        """Handle one attention call."""
        self.shapes[call.site] = call.q.shape
        if call.site not in self._explained:
            return call.run_fused(call.q, call.k, call.v)
        found = unpacked(call.q, call.k, call.v)
        whole, packing = found or (None, None)
        parts = call.q, call.k, call.v
        if whole is not None:  # their gradient goes to the whole
            parts = call.q.detach(), call.k.detach(), call.v.detach()
        out: Tensor = _StreamedAttention.apply(self.anchor, whole, *parts, call, packing, self)
        return out

    def weights(self, site: str, attention: Tensor) -> Tensor:
        """Let weights that the model wrote out itself pass; their gradient is folded when it arrives."""
        self.shapes[site] = attention.shape
        if site not in self._explained:
            return attention
        out: Tensor = _StreamedWeights.apply(self.anchor, attention, site, self)
        return out

    def backward(
        self, score: Tensor, visit: Visitor, finish: Callable[[str], None], keep_graph: bool, gain: float = 1.0
    ) -> None:
        """Send the gradient of ``score.sum()`` through the graph; ``visit`` and ``finish`` see each site once.

        ``gain`` multiplies the score, so that small gradients survive in float16; folds see dA without it.
        """
        self.visit, self.finish, self.gain = visit, finish, gain
        total = score.sum() if gain == 1 else score.sum() * gain
        try:
            torch.autograd.grad(total, self.anchor, retain_graph=keep_graph, allow_unused=True)
        finally:
            self.visit, self.finish, self.gain = _uninterested, _ignore, 1.0


def uses_library_backward(q: Tensor) -> bool:
    """Whether gradients are left to the library: a GPU's kernel is fast; on a CPU one look at A serves all."""
    return q.device.type != "cpu"


class _StreamedAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        anchor: Tensor,
        whole: Tensor | None,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        call: AttentionCall,
        packing: Packing | None,
        capture: StreamCapture,
    ) -> Tensor:
        ctx.save_for_backward(q, k, v)
        ctx.call_site, ctx.mask, ctx.causal, ctx.scale = call.site, call.mask, call.causal, call.softmax_scale
        ctx.capture, ctx.packing, ctx.fused = capture, packing, None
        if not (uses_library_backward(q) and any(ctx.needs_input_grad[1:5])):
            return call.run_fused(q, k, v)
        ctx.fused = FusedCall(call)
        return ctx.fused.out()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        q, k, v = ctx.saved_tensors
        bias = additive_bias(ctx.mask, ctx.causal, q, k)
        need_grads = any(ctx.needs_input_grad[1:5])
        operands = AttentionOperands(q, k, v, ctx.scale, bias)
        with torch.autocast(q.device.type, enabled=False):
            fold, gain = ctx.capture.visit(ctx.call_site), ctx.capture.gain
            found = attention_backward(operands, grads[0], fold, need_grads, gain, fused=ctx.fused)
            if ctx.packing is not None and need_grads:
                found = ctx.packing.gradient(*found), None, None, None
            else:
                found = None, *found
        ctx.capture.finish(ctx.call_site)
        return None, *found, None, None, None


class _StreamedWeights(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, anchor: Tensor, attention: Tensor, site: str, capture: StreamCapture) -> Tensor:
        ctx.save_for_backward(attention)  # the model's own product with V keeps it anyway
        ctx.site, ctx.capture = site, capture
        return attention.view_as(attention)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (attention,) = ctx.saved_tensors
        fold = ctx.capture.visit(ctx.site)
        if fold is not None:
            fold(slice(None), MapBlock(wide(attention), wide(grads[0]) / ctx.capture.gain, slice(None)))
        ctx.capture.finish(ctx.site)
        return None, grads[0], None, None


def _uninterested(site: str) -> Fold | None:
    return None


def _ignore(site: str) -> None:
    return None
