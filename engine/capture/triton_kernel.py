"""The streamed backward of one attention call in Triton: gradients and a row of GAE, tile by tile, no map in memory.

The same numbers as ``engine/capture/kernel.py``, from which the formulas are. Three passes, each a program per (tile,
sample, head) that runs over the tiles of the other side (Dao, *FlashAttention-2*, 2023, is where the shape is from):

1. query rows: the logarithm of the softmax sum, and delta = rowsum(A * dA);
2. keys: sum over rows of r * max(A * dA, 0), dV = A^T dO, dK = scale * dS^T Q, with dS = A * (dA - delta);
3. query rows: dQ = scale * dS K.

The clamp comes before the mean over heads, so each head leaves a row of its own, [B, H, t], and they are averaged at
the end: no atomics, the same bits each time. Products of float32 are made in float32 ("ieee": no TF32), sums always;
in half precision A and dS are rounded to it for dQ, dK and dV alone.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.capture.kernel import AttentionOperands, wide
from engine.capture.row_fold import RowFold

SMALLEST = 16
"""Fewest rows, columns and channels of a Triton product."""
TILE = 64
"""Query rows and keys of a tile."""


def fold_rows_backward(
    operands: AttentionOperands,
    d_out: Tensor,
    fold: RowFold,
    need_grads: bool,
    gain: float = 1.0,
    tile: int = TILE,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Add a call's share to ``fold.out`` in place and return the gradients of q, k and v.

    Args:
        operands: q [B, H, s, d], k [B, H, t, d], v [B, H, t, e] in float32, bfloat16 or float16; the bias broadcasts to
            [B, H, s, t].
        d_out: gradient of the attention output, [B, H, s, e].
        fold: row [B, s], out [B, t].
        need_grads: False when nothing below needs a gradient; then (None, None, None) is returned.
        gain: factor that ``d_out`` carries and the returned gradients keep; ``fold`` gets its share without it.
        tile: query rows and keys of a tile, a power of two; see :func:`fitting_tile`.
    """
    q, k, v, d_out = _alike(operands.q, operands.k, operands.v, d_out)
    batch, heads, rows, width = q.shape
    keys = k.shape[2]
    tile = fitting_tile(max(width, v.shape[3]), q.dtype, tile)
    by_rows, by_keys = (batch * heads, triton.cdiv(rows, tile)), (batch * heads, triton.cdiv(keys, tile))
    call, fixed = _call(q, k, v, d_out, operands.bias, operands.scale, tile)
    sums, delta = (q.new_empty(batch, heads, rows, dtype=torch.float32) for _ in range(2))
    _statistics[by_rows](*call, sums, delta, **fixed)
    shares = q.new_empty(batch, heads, keys, dtype=torch.float32)
    row = fold.row.float().contiguous()
    dq, dk, dv = (torch.empty_like(x) for x in (q, k, v))
    _keys[by_keys](*call, sums, delta, row, shares, dk, dv, GRADIENTS=need_grads, **fixed)
    fold.out.add_(shares.mean(dim=1) / gain)
    if not need_grads:
        return None, None, None
    _queries[by_rows](*call, sums, delta, dq, **fixed)
    return dq.to(operands.q.dtype), dk.to(operands.k.dtype), dv.to(operands.v.dtype)


def fitting_tile(width: int, dtype: torch.dtype, tile: int = TILE) -> int:
    """Half a tile where heads or numbers are wide, so that it fits into the shared memory of any GPU (99 KB)."""
    return max(SMALLEST, tile // 2) if width > 64 or dtype == torch.float32 else tile


def _alike(*tensors: Tensor) -> list[Tensor]:
    """Contiguous and of one type: autocast leaves q and k in float32 where a norm is behind them."""
    mixed = len({tensor.dtype for tensor in tensors}) > 1
    return [(wide(tensor) if mixed else tensor).contiguous() for tensor in tensors]


def _call(
    q: Tensor, k: Tensor, v: Tensor, d_out: Tensor, bias: Tensor | None, scale: float, tile: int
) -> tuple[list[Any], dict[str, Any]]:
    """What all passes are called with: tensors, strides of the bias, sizes; and what is fixed at compile time."""
    batch, heads, rows, width = q.shape
    keys, out_width = v.shape[2:]
    wide_bias = q[:1, :1, :1, :1] if bias is None else bias
    strides = wide_bias.expand(batch, heads, rows, keys).stride()
    fixed = {
        "BIAS": bias is not None,
        "TILE": tile,
        "D": max(SMALLEST, triton.next_power_of_2(width)),
        "E": max(SMALLEST, triton.next_power_of_2(out_width)),
    }
    return [q, k, v, d_out, wide_bias, *strides, heads, rows, keys, width, out_width, scale], fixed


@triton.jit
def _statistics(
    q_at: tl.tensor, k_at: tl.tensor, v_at: tl.tensor, d_at: tl.tensor, bias_at: tl.tensor,
    by_sample: tl.tensor, by_head: tl.tensor, by_row: tl.tensor, by_key: tl.tensor,
    heads: tl.tensor, s: tl.tensor, t: tl.tensor, d: tl.tensor, e: tl.tensor, scale: tl.tensor,
    sums_at: tl.tensor, delta_at: tl.tensor,
    BIAS: tl.constexpr, TILE: tl.constexpr, D: tl.constexpr, E: tl.constexpr,
) -> None:  # fmt: skip
    """First pass, of a tile of query rows: log(sum(exp(scores))) and rowsum(A * dA), while the maximum is found."""
    head, rows = tl.program_id(0).to(tl.int64), tl.program_id(1) * TILE + tl.arange(0, TILE)
    bias_at += head // heads * by_sample + head % heads * by_head
    q, d_out = _load(q_at, head, rows, s, d, D), _load(d_at, head, rows, s, e, E)
    highest = tl.full([TILE], float("-inf"), tl.float32)
    total, product = tl.zeros([TILE], tl.float32), tl.zeros([TILE], tl.float32)
    for start in range(0, t, TILE):
        columns = start + tl.arange(0, TILE)
        scores = _scores(
            q, _load(k_at, head, columns, t, d, D), bias_at, by_row, by_key, rows, columns, s, t, scale, BIAS
        )
        gradient = tl.dot(d_out, tl.trans(_load(v_at, head, columns, t, e, E)), input_precision="ieee")
        now = tl.maximum(highest, tl.max(scores, axis=1))
        base = tl.where(now == float("-inf"), 0.0, now)  # a row that may look at nothing so far
        weights, older = tl.exp(scores - base[:, None]), tl.exp(highest - base)
        total = total * older + tl.sum(weights, axis=1)
        product = product * older + tl.sum(weights * gradient, axis=1)
        highest = now
    blind = total == 0.0
    total = tl.where(blind, 1.0, total)
    inside = rows < s
    tl.store(sums_at + head * s + rows, tl.where(blind, 0.0, highest) + tl.log(total), mask=inside)
    tl.store(delta_at + head * s + rows, product / total, mask=inside)


@triton.jit
def _keys(
    q_at: tl.tensor, k_at: tl.tensor, v_at: tl.tensor, d_at: tl.tensor, bias_at: tl.tensor,
    by_sample: tl.tensor, by_head: tl.tensor, by_row: tl.tensor, by_key: tl.tensor,
    heads: tl.tensor, s: tl.tensor, t: tl.tensor, d: tl.tensor, e: tl.tensor, scale: tl.tensor,
    sums_at: tl.tensor, delta_at: tl.tensor, row_at: tl.tensor, shares_at: tl.tensor,
    dk_at: tl.tensor, dv_at: tl.tensor,
    BIAS: tl.constexpr, TILE: tl.constexpr, D: tl.constexpr, E: tl.constexpr, GRADIENTS: tl.constexpr,
) -> None:  # fmt: skip
    """Second pass, of a tile of keys: the head's share of the row, dK and dV."""
    head, columns = tl.program_id(0).to(tl.int64), tl.program_id(1) * TILE + tl.arange(0, TILE)
    bias_at += head // heads * by_sample + head % heads * by_head
    k, v = _load(k_at, head, columns, t, d, D), _load(v_at, head, columns, t, e, E)
    share = tl.zeros([TILE], tl.float32)
    dk, dv = tl.zeros([TILE, D], tl.float32), tl.zeros([TILE, E], tl.float32)
    for start in range(0, s, TILE):
        rows = start + tl.arange(0, TILE)
        inside = rows < s
        q, d_out = _load(q_at, head, rows, s, d, D), _load(d_at, head, rows, s, e, E)
        scores = _scores(q, k, bias_at, by_row, by_key, rows, columns, s, t, scale, BIAS)
        sums = tl.load(sums_at + head * s + rows, mask=inside, other=float("inf"))  # A = 0 beyond the last row
        attention = tl.exp(scores - sums[:, None])
        product = attention * tl.dot(d_out, tl.trans(v), input_precision="ieee")
        weight = tl.load(row_at + head // heads * s + rows, mask=inside, other=0.0)
        share += tl.sum(weight[:, None] * tl.maximum(product, 0.0), axis=0)
        if GRADIENTS:
            delta = tl.load(delta_at + head * s + rows, mask=inside, other=0.0)
            d_scores = product - attention * delta[:, None]
            dv += tl.dot(tl.trans(attention).to(d_out.dtype), d_out, input_precision="ieee")
            dk += tl.dot(tl.trans(d_scores).to(q.dtype), q, input_precision="ieee")
    tl.store(shares_at + head * t + columns, share, mask=columns < t)
    if GRADIENTS:
        _store(dk_at, dk * scale, head, columns, t, d, D)
        _store(dv_at, dv, head, columns, t, e, E)


@triton.jit
def _queries(
    q_at: tl.tensor, k_at: tl.tensor, v_at: tl.tensor, d_at: tl.tensor, bias_at: tl.tensor,
    by_sample: tl.tensor, by_head: tl.tensor, by_row: tl.tensor, by_key: tl.tensor,
    heads: tl.tensor, s: tl.tensor, t: tl.tensor, d: tl.tensor, e: tl.tensor, scale: tl.tensor,
    sums_at: tl.tensor, delta_at: tl.tensor, dq_at: tl.tensor,
    BIAS: tl.constexpr, TILE: tl.constexpr, D: tl.constexpr, E: tl.constexpr,
) -> None:  # fmt: skip
    """Third pass, of a tile of query rows: dQ."""
    head, rows = tl.program_id(0).to(tl.int64), tl.program_id(1) * TILE + tl.arange(0, TILE)
    bias_at += head // heads * by_sample + head % heads * by_head
    q, d_out = _load(q_at, head, rows, s, d, D), _load(d_at, head, rows, s, e, E)
    sums = tl.load(sums_at + head * s + rows, mask=rows < s, other=float("inf"))
    delta = tl.load(delta_at + head * s + rows, mask=rows < s, other=0.0)
    dq = tl.zeros([TILE, D], tl.float32)
    for start in range(0, t, TILE):
        columns = start + tl.arange(0, TILE)
        k, v = _load(k_at, head, columns, t, d, D), _load(v_at, head, columns, t, e, E)
        scores = _scores(q, k, bias_at, by_row, by_key, rows, columns, s, t, scale, BIAS)
        gradient = tl.dot(d_out, tl.trans(v), input_precision="ieee")
        d_scores = tl.exp(scores - sums[:, None]) * (gradient - delta[:, None])
        dq += tl.dot(d_scores.to(k.dtype), k, input_precision="ieee")
    _store(dq_at, dq * scale, head, rows, s, d, D)


@triton.jit
def _load(
    pointer: tl.tensor, head: tl.tensor, rows: tl.tensor, count: tl.tensor, width: tl.tensor, WIDTH: tl.constexpr
) -> tl.tensor:
    """Rows of one head of a contiguous [B, H, count, width]: [rows, WIDTH], zeros beyond the tensor."""
    columns = tl.arange(0, WIDTH)
    places = (head * count + rows[:, None]) * width + columns[None, :]
    return tl.load(pointer + places, mask=(rows[:, None] < count) & (columns[None, :] < width), other=0.0)


@triton.jit
def _store(
    pointer: tl.tensor,
    values: tl.tensor,
    head: tl.tensor,
    rows: tl.tensor,
    count: tl.tensor,
    width: tl.tensor,
    WIDTH: tl.constexpr,
) -> None:
    """Put [rows, WIDTH] where ``_load`` would read it."""
    columns = tl.arange(0, WIDTH)
    places = (head * count + rows[:, None]) * width + columns[None, :]
    inside = (rows[:, None] < count) & (columns[None, :] < width)
    tl.store(pointer + places, values.to(pointer.dtype.element_ty), mask=inside)


@triton.jit
def _scores(
    q: tl.tensor, k: tl.tensor, bias_at: tl.tensor, by_row: tl.tensor, by_key: tl.tensor,
    rows: tl.tensor, columns: tl.tensor, s: tl.tensor, t: tl.tensor, scale: tl.tensor,
    BIAS: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Scores [rows, columns] of a tile in float32, minus infinity beyond the last key."""
    scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    if BIAS:
        places = rows[:, None].to(tl.int64) * by_row + columns[None, :] * by_key
        inside = (rows[:, None] < s) & (columns[None, :] < t)
        scores += tl.load(bias_at + places, mask=inside, other=0.0).to(tl.float32)
    return tl.where(columns[None, :] < t, scores, float("-inf"))
