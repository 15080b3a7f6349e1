"""Start rows and shown tokens: how a model reads its answer out of a token stream."""

from __future__ import annotations

import torch
from torch import Tensor


def token_row(batch: int, tokens: int, positions: tuple[int, ...], like: Tensor) -> Tensor:
    """Read-out from one or more fixed tokens with equal weight (CLS; CLS and distillation token): [batch, tokens]."""
    row = like.new_zeros(batch, tokens)
    for position in positions:  # one by one: a list of them would have to be sent to a GPU
        row[:, position] = 1.0 / len(positions)
    return row


def mean_row(batch: int, tokens: int, first: int, like: Tensor) -> Tensor:
    """Mean pooling over tokens ``first`` to the end: [batch, tokens]."""
    row = like.new_zeros(batch, tokens)
    row[:, first:] = 1.0 / (tokens - first)
    return row


def one_hot_row(positions: Tensor, tokens: int, like: Tensor) -> Tensor:
    """Read-out from a token that differs per sample (the end-of-text token): positions [B] -> [B, tokens]."""
    row = like.new_zeros(len(positions), tokens)
    row[torch.arange(len(positions), device=row.device), positions] = 1.0
    return row


def content_after(batch: int, tokens: int, prefix: int, device: torch.device) -> Tensor:
    """Mark all tokens after the prefix: [batch, tokens], boolean."""
    return (torch.arange(tokens, device=device) >= prefix).expand(batch, tokens)


def content_before_end(ends: Tensor, tokens: int) -> Tensor:
    """Mark the tokens between the start token (position 0) and the end token of each sample: [B, tokens]."""
    position = torch.arange(tokens, device=ends.device)
    return (position > 0) & (position < ends[:, None])
