"""Patches: the most relevant image tokens of a sample, as the model represents them half way up."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.capture.kernel import wide


@dataclass(frozen=True)
class Patches:
    """The T most relevant image tokens of B samples; regions count as tokens too. All tensors are detached.

    Attributes:
        tokens: index into relevancy["image"] of each patch, strongest first, [B, T] int64.
        states: token states after the middle block, [B, T, D] float32 (float64 for a model in float64).
        rest: mean state of the less relevant half of the sample's shown tokens, [B, D].
        valid: False where a sample has fewer shown tokens than T, [B, T] boolean; such entries never count, their
            states are zero.
    """

    tokens: Tensor
    states: Tensor
    rest: Tensor
    valid: Tensor


def top_patches(relevancy: Tensor, content: Tensor, states: Tensor, count: int) -> Patches:
    """Pick the most relevant of the shown tokens; of equal ones the first.

    Args:
        relevancy: [B, N]; NaN ranks below every number.
        content: tokens that are shown, [B, N] boolean.
        states: token states, [B, N, D].
        count: patches per sample; cut to N.
    """
    lowest = torch.finfo(relevancy.dtype).min
    ranked = relevancy.detach().nan_to_num(lowest).masked_fill(~content, -torch.inf)
    order = ranked.argsort(dim=1, descending=True, stable=True)
    shown = content.sum(dim=1, keepdim=True)
    place = torch.arange(order.shape[1], device=order.device)
    tokens, valid = order[:, :count], place[:count] < shown
    # a single shown token is its own rest: a mean over nothing would look like a state
    lower = (place >= shown - (shown // 2).clamp(min=1)) & (place < shown)
    weights = torch.zeros_like(order, dtype=wide(states).dtype).scatter(1, order, lower.to(wide(states).dtype))
    rest = torch.einsum("bn,bnd->bd", weights / weights.sum(dim=1, keepdim=True).clamp(min=1), wide(states.detach()))
    picked = states.detach().gather(1, tokens[..., None].expand(-1, -1, states.shape[-1]))
    return Patches(tokens, wide(picked) * valid[..., None], rest, valid)
