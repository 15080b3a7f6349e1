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
"""Attention entries (samples x heads x rows x keys) formed at once: 4 MiB per float32 tensor."""
GPU_ELEMENTS = 1 << 26
"""The same on a GPU, which smaller blocks would keep waiting for the next."""
CACHED_ELEMENTS = 1 << 19
"""The same where a CPU takes heads one after the other: what a block is made of then stays in its caches."""


@dataclass(frozen=True)
class MapBlock:
    """Attention A and gradient dA of some query rows: [b, H, r, t]. ``rows`` says which rows of all s they are.

    ``share`` is the part of all heads that the block holds; what is a mean over heads is added up with this weight.
    """

    attention: Tensor
    gradient: Tensor | None
    rows: Tensor | slice
    share: float = 1.0
    spent: bool = False
    """Whether nobody looks at dA itself: A * dA may then be formed in its place."""

    @cached_property
    def product(self) -> Tensor:
        """A * dA, [b, H, r, t]."""
        assert self.gradient is not None
        return self.gradient.mul_(self.attention) if self.spent else self.attention * self.gradient


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

    def weights(self, samples: slice, rows: Tensor | slice, heads: slice = slice(None)) -> Tensor:
        """Form A for some samples, heads and query rows: [b, h, r, t], in at least float32; a blind row is zero."""
        q, k = _flat(self.q[samples, heads][:, :, rows]), _flat(self.k[samples, heads])
        scores = torch.bmm(q * self.scale, k.transpose(1, 2)).unflatten(0, (-1, self.q[:1, heads].shape[1]))
        if self.bias is None:
            return torch.softmax(scores, dim=-1)
        bias = _slice_bias(self.bias, samples, heads, rows)
        return torch.softmax(scores.add_(bias), dim=-1).masked_fill_(blind_rows(bias), 0.0)


def fold_forward(operands: AttentionOperands, fold: Fold) -> None:
    """Show every block of A to ``fold`` (methods that need no gradient)."""
    for samples, _, rows in _blocks(operands, None, heads_apart=False):
        fold(samples, MapBlock(operands.weights(samples, rows), None, rows))


def fold_backward(
    operands: AttentionOperands,
    d_out: Tensor,
    fold: Fold | None,
    need_grads: bool,
    gain: float = 1.0,
    heads_apart: bool = False,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Show every block of (A, dA) to ``fold`` and return the gradients of q, k and v.

    Args:
        operands: the saved call.
        d_out: gradient of the attention output, [B, H, s, d].
        fold: called once per block; None when only the gradients are wanted.
        need_grads: False when nothing below needs a gradient; then (None, None, None) is returned.
        gain: factor that ``d_out`` carries and the returned gradients keep; ``fold`` sees dA without it.
        heads_apart: whether ``fold`` may be given some heads at a time (:attr:`MapBlock.share`) and reads A * dA alone.

    Query rows whose output gradient is zero in every head and sample have dA = 0 and dS = 0: they are skipped,
    which is exact. After a CLS read-out that leaves one row of the last block.
    """
    if fold is None and not need_grads:
        return None, None, None
    q, k, v = operands.q, operands.k, operands.v
    active, factor = _active_rows(d_out), operands.scale * gain
    if need_grads:
        dq, dk, dv = (torch.zeros(one.shape, dtype=wide(one).dtype, device=one.device) for one in (q, k, v))
    for samples, heads, rows in _blocks(operands, active, heads_apart):
        part = samples, heads
        attention = operands.weights(samples, rows, heads)
        d_rows = _flat(d_out[part][:, :, rows])
        gradient = torch.bmm(d_rows, _flat(v[part]).transpose(1, 2)).view_as(attention)
        if gain != 1:
            gradient /= gain
        block = MapBlock(attention, gradient, rows, attention.shape[1] / q.shape[1], spent=heads_apart)
        if fold is not None:
            fold(samples, block)
        if not need_grads:
            continue
        product = block.product
        d_scores = product.addcmul_(attention, product.sum(dim=-1, keepdim=True), value=-1.0).flatten(0, 1)
        dq[part][:, :, rows] = (torch.bmm(d_scores, _flat(k[part])) * factor).unflatten(0, attention.shape[:2])
        _add_product(dk[part], d_scores.transpose(1, 2), _flat(q[part][:, :, rows]), factor)
        _add_product(dv[part], attention.flatten(0, 1).transpose(1, 2), d_rows)
    return (dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype)) if need_grads else (None, None, None)


def _flat(part: Tensor) -> Tensor:
    """[b, h, n, d] as [b * h, n, d] in at least float32: a view where it is some heads of one sample."""
    return wide(part).flatten(0, 1)


def _add_product(out: Tensor, left: Tensor, right: Tensor, factor: float = 1.0) -> None:
    """``out += factor * left @ right`` in place; out is some heads of one sample, or all of some samples."""
    flat = out.view(-1, *out.shape[2:])  # raises where it is no view
    torch.baddbmm(flat, left, right, alpha=factor, out=flat)


def wide(tensor: Tensor) -> Tensor:
    """Half precision becomes float32: sums over thousands of products need it; other types stay as they are."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def _active_rows(d_out: Tensor) -> Tensor | None:
    """Indices of query rows with a non-zero gradient, or None for all (always on CUDA: asking would synchronise)."""
    if d_out.device.type != "cpu":
        return None
    if (d_out[:1, :1] != 0).any(dim=-1).all():  # the usual case, and the rest need not be looked at
        return None
    active = (d_out != 0).any(dim=-1).flatten(0, 1).any(dim=0)
    return None if bool(active.all()) else active.nonzero().flatten()


def _blocks(
    operands: AttentionOperands, active: Tensor | None, heads_apart: bool
) -> list[tuple[slice, slice, Tensor | slice]]:
    """Cut samples, then heads if they may be ``heads_apart``, then query rows, until a block of A is small enough."""
    batch, heads, tokens, _ = operands.q.shape
    keys = operands.k.shape[2]
    count = tokens if active is None else len(active)
    if count == 0:
        return []
    on_cpu = operands.q.device.type == "cpu"
    apart = heads_apart and on_cpu  # on a GPU a block for each head would only be smaller
    room = min(CACHED_ELEMENTS, BLOCK_ELEMENTS) if apart else BLOCK_ELEMENTS if on_cpu else GPU_ELEMENTS
    heads_at_once = max(1, min(heads, room // (count * keys))) if apart else heads
    return [
        (samples, some, rows if active is None else active[rows])
        for samples in _cut(batch, room // (heads * count * keys))
        for some in _cut(heads, heads_at_once)
        for rows in _cut(count, room // (heads_at_once * keys))
    ]


def _cut(count: int, most: int) -> list[slice]:
    """Ranges of equal length, but the last, that make up ``count`` and hold at most ``most`` (at least one) each."""
    length = -(-count // -(-count // max(most, 1)))
    return [slice(start, min(start + length, count)) for start in range(0, count, length)]


def _slice_bias(bias: Tensor, samples: slice, heads: slice, rows: Tensor | slice) -> Tensor:
    if bias.shape[0] > 1:
        bias = bias[samples]
    if bias.shape[1] > 1:
        bias = bias[:, heads]
    return bias[:, :, rows] if bias.shape[2] > 1 else bias
