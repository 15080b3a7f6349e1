"""The streamed backward of one attention call: gradients and a row of the relevancy product, block by block.

Nothing of size H * N * N outlives a block of query rows. With dO the gradient of the output O = A V,

    dA = dO V^T,   dV = A^T dO,   dS = A * (dA - rowsum(A * dA)),   dQ = scale * dS K,   dK = scale * dS^T Q,

so A and dA of a block come from q, k, v and dO alone, and the method folds them into its answer on the spot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from engine.capture.calls import blind_rows

BLOCK_ELEMENTS = 1 << 20
"""Attention entries (heads x rows x keys, over samples) formed at once: 4 MiB per float32 tensor."""


@dataclass(frozen=True)
class MapBlock:
    """Attention A and gradient dA of some query rows: [b, H, r, t]. ``rows`` says which rows of all s they are."""

    attention: Tensor
    gradient: Tensor | None
    rows: Tensor | slice

    @cached_property
    def product(self) -> Tensor:
        """A * dA, [b, H, r, t]."""
        assert self.gradient is not None
        return self.attention * self.gradient


Fold = Callable[[slice, MapBlock], None]
"""Receives the samples of a block and the block; called once per block."""


@dataclass(frozen=True)
class AttentionOperands:
    """What must be kept of a call to form its maps again: q [B, H, s, d], k and v [B, H, t, d], additive bias."""

    q: Tensor
    k: Tensor
    v: Tensor
    scale: float
    bias: Tensor | None

    def weights(self, samples: slice, rows: Tensor | slice) -> Tensor:
        """Form A for some samples and query rows: [b, H, r, t], in at least float32; a blind row is zero."""
        q, k = wide(self.q[samples][:, :, rows]), wide(self.k[samples])
        scores = (q * self.scale) @ k.transpose(-2, -1)
        if self.bias is None:
            return torch.softmax(scores, dim=-1)
        bias = _slice_bias(self.bias, samples, rows)
        return torch.softmax(scores.add_(bias), dim=-1).masked_fill_(blind_rows(bias), 0.0)


def fold_forward(operands: AttentionOperands, fold: Fold) -> None:
    """Show every block of A to ``fold`` (methods that need no gradient)."""
    for samples, rows in _blocks(operands, None):
        fold(samples, MapBlock(operands.weights(samples, rows), None, rows))


def fold_backward(
    operands: AttentionOperands, d_out: Tensor, fold: Fold | None, need_grads: bool, gain: float = 1.0
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Show every block of (A, dA) to ``fold`` and return the gradients of q, k and v.

    Args:
        operands: the saved call.
        d_out: gradient of the attention output, [B, H, s, d].
        fold: called once per block; None when only the gradients are wanted.
        need_grads: False when nothing below needs a gradient; then (None, None, None) is returned.
        gain: factor that ``d_out`` carries and the returned gradients keep; ``fold`` sees dA without it.

    Query rows whose output gradient is zero in every head and sample have dA = 0 and dS = 0: they are skipped,
    which is exact. After a CLS read-out that leaves one row of the last block.
    """
    q, k, v = operands.q, operands.k, operands.v
    active = _active_rows(d_out)
    factor = operands.scale * gain
    dq = torch.zeros_like(q) if need_grads else None
    dk = torch.zeros_like(k) if need_grads else None
    dv = torch.zeros_like(v) if need_grads else None
    for samples, rows in _blocks(operands, active):
        attention = operands.weights(samples, rows)
        d_rows = wide(d_out[samples][:, :, rows])
        gradient = d_rows @ wide(v[samples]).transpose(-2, -1)
        if gain != 1:
            gradient /= gain
        block = MapBlock(attention, gradient, rows)
        if fold is not None:
            fold(samples, block)
        if dq is None or dk is None or dv is None:
            continue
        product = block.product
        d_scores = product.addcmul_(attention, product.sum(dim=-1, keepdim=True), value=-1.0)
        dq[samples][:, :, rows] = ((d_scores @ wide(k[samples])) * factor).to(q.dtype)
        q_rows = wide(q[samples][:, :, rows]) * factor
        dk[samples] += (d_scores.transpose(-2, -1) @ q_rows).to(k.dtype)
        dv[samples] += (attention.transpose(-2, -1) @ d_rows).to(v.dtype)
    return dq, dk, dv


def wide(tensor: Tensor) -> Tensor:
    """Half precision becomes float32: sums over thousands of products need it; other types stay as they are."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def _active_rows(d_out: Tensor) -> Tensor | None:
    """Indices of query rows with a non-zero gradient, or None for all (always on CUDA: asking would synchronise)."""
    if d_out.device.type != "cpu":
        return None
    active = (d_out != 0).any(dim=-1).flatten(0, 1).any(dim=0)
    return None if bool(active.all()) else active.nonzero().flatten()


def _blocks(operands: AttentionOperands, active: Tensor | None) -> list[tuple[slice, Tensor | slice]]:
    """Cut samples and query rows so that one block holds about ``BLOCK_ELEMENTS`` entries of A."""
    batch, heads, tokens, _ = operands.q.shape
    keys = operands.k.shape[2]
    count = tokens if active is None else len(active)
    if count == 0:
        return []
    per_sample = heads * count * keys
    samples_at_once = max(1, BLOCK_ELEMENTS // per_sample)
    rows_at_once = max(1, min(count, BLOCK_ELEMENTS // (heads * keys)))
    return [
        (slice(b, min(b + samples_at_once, batch)), _row_block(r, min(r + rows_at_once, count), active))
        for b in range(0, batch, samples_at_once)
        for r in range(0, count, rows_at_once)
    ]


def _row_block(start: int, stop: int, active: Tensor | None) -> Tensor | slice:
    return slice(start, stop) if active is None else active[start:stop]


def _slice_bias(bias: Tensor, samples: slice, rows: Tensor | slice) -> Tensor:
    if bias.shape[0] > 1:
        bias = bias[samples]
    return bias[:, :, rows] if bias.shape[2] > 1 else bias
