"""A call of the library's fused kernel that keeps what the kernel's own backward needs."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.capture.calls import AttentionCall

KEPT_SUMS = ("ScaledDotProductCudnnAttentionBackward0", "ScaledDotProductFlashAttentionBackward0")
"""Kernels of PyTorch that keep log(sum(exp(scores))) of each query row; others keep something else, or padded."""


class FusedCall:
    """Runs a call at once; its gradients may be asked for as often as one likes.

    Args:
        call: what the model asked for; no gradient flows into its tensors from here.
    """

    def __init__(self, call: AttentionCall) -> None:
        self._inputs = [tensor.detach().requires_grad_() for tensor in (call.q, call.k, call.v)]
        self._masked = call.mask is not None
        with torch.enable_grad():
            self._out = call.run_fused(*self._inputs)

    def out(self) -> Tensor:
        """The attention output, [B, H, s, e], cut off from the graph.

        A new view each time: kept here, the view that becomes part of the model's graph would keep itself alive.
        """
        return self._out.detach()

    def sums(self) -> Tensor | None:
        """log(sum(exp(scores))) of each query row, [B, H, s] float32, where the library kept it."""
        node = self._out.grad_fn
        if self._masked or type(node).__name__ not in KEPT_SUMS:  # a row that may look at nothing has no sum
            return None
        kept: Tensor = node._saved_logsumexp  # type: ignore[union-attr]
        shape = self._out.shape[:3]
        return kept.detach().reshape(shape) if kept.numel() == shape.numel() and kept.dtype == torch.float32 else None

    def gradients(self, d_out: Tensor) -> tuple[Tensor, ...]:
        """Gradients of q, k and v where that of the output is ``d_out``."""
        return torch.autograd.grad(self._out, self._inputs, d_out, retain_graph=True)
