"""The relevancy update rules of Chefer, Gur, Wolf (ICCV 2021), as pure functions on tensors.

Notation: B samples, H heads, s query tokens, q key tokens; A is the post-softmax attention, dA the gradient of the
explained score with respect to it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def head_average(attention: Tensor, gradient: Tensor) -> Tensor:
    """Return the head-averaged positive map (eq. 5): ``mean_h relu(dA * A)``.

    Args:
        attention: A, [B, H, s, q].
        gradient: dA, [B, H, s, q].

    Returns:
        Tensor [B, s, q], non-negative.
    """
    return (attention * gradient).clamp(min=0).mean(dim=1)


def moved_update(moved: Tensor, average: Tensor) -> Tensor:
    """Eq. 6 and 7, R <- R + A_bar R, for M = R - I: M + A_bar + A_bar M. No digits are lost to the ones of I.

    Args:
        moved: M, [B, s, s].
        average: A_bar of a self-attention, [B, s, s].
    """
    return moved + average + average @ moved


def row_normalise(matrix: Tensor) -> Tensor:
    """Divide every row by its sum. Rows that sum to zero become NaN, as in the authors' code."""
    return matrix / matrix.sum(dim=-1, keepdim=True)


def identity(batch: int, tokens: int, like: Tensor) -> Tensor:
    """Return ``R = I`` for a batch: [batch, tokens, tokens] in the dtype and on the device of ``like``."""
    return torch.eye(tokens, dtype=like.dtype, device=like.device).expand(batch, tokens, tokens)
