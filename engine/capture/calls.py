"""One attention call, as a model makes it: its place, its tensors and the settings of the softmax."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AttentionCall:
    """Arguments of one ``scaled_dot_product_attention`` call.

    ``q`` is [B, H, s, d], ``k`` and ``v`` are [B, H, t, d]; ``mask`` broadcasts to [B, H, s, t] and is either
    boolean (True = attend) or additive. ``site`` is the path of the module that made the call.
    """

    site: str
    q: Tensor
    k: Tensor
    v: Tensor
    mask: Tensor | None
    causal: bool
    scale: float | None
    fused: Callable[..., Tensor]

    @property
    def softmax_scale(self) -> float:
        """Factor on the scores: the given one, or 1 / sqrt(d)."""
        return self.scale if self.scale is not None else 1.0 / math.sqrt(self.q.shape[-1])

    def run_fused(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Run the library's own kernel on (possibly detached) tensors; returns [B, H, s, d]."""
        return self.fused(q, k, v, attn_mask=self.mask, is_causal=self.causal, scale=self.scale)

    def bias(self) -> Tensor | None:
        """Return mask and causality as one additive tensor that broadcasts to [B, H, s, t], or None."""
        return additive_bias(self.mask, self.causal, self.q, self.k)


def additive_bias(mask: Tensor | None, causal: bool, q: Tensor, k: Tensor) -> Tensor | None:
    """Translate the mask arguments of ``scaled_dot_product_attention`` into one additive bias.

    A four-dimensional result lets callers slice samples and query rows without asking for the original form.
    """
    if causal:
        rows, columns = q.shape[-2], k.shape[-2]
        mask = torch.ones(rows, columns, dtype=torch.bool, device=q.device).tril()
    if mask is None:
        return None
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=q.dtype).masked_fill_(~mask, float("-inf"))
    return mask[(None,) * (4 - mask.dim())] if mask.dim() < 4 else mask


def attention_weights(q: Tensor, k: Tensor, scale: float, bias: Tensor | None) -> Tensor:
    """Return A = softmax(scale * q k^T + bias), [B, H, s, t]; every row sums to one.

    A query that may look at nothing (padding beyond a sliding window) has a row of zeros, as in PyTorch's kernels.
    """
    scores = (q * scale) @ k.transpose(-2, -1)
    if bias is None:
        return scores.softmax(dim=-1)
    blind = blind_rows(bias)
    return (scores + bias).masked_fill(blind, 0.0).softmax(dim=-1).masked_fill(blind, 0.0)


def blind_rows(bias: Tensor) -> Tensor:
    """Query rows that may look at nothing: additive bias [..., s, t] -> [..., s, 1] boolean."""
    return torch.isneginf(bias).all(dim=-1, keepdim=True)
