"""A row of GAE over one attention call in Triton: tile by tile, no map in memory.

The same numbers as ``engine/capture/kernel.py``, from which the formulas are. Two passes, each a program per (tile,
sample, head) that runs over the tiles of the other side (the shape is that of Dao, *FlashAttention-2*, 2023):

1. query rows: the logarithm of the softmax sum;
2. keys: sum over rows of r * max(A * dA, 0).

The gradients of q, k and v are left to the library's own fused backward (``fused.py``), which nobody beats here. The
clamp comes before the mean over heads, so each head leaves a row of its own, [B, H, t], and they are averaged at the
end: no atomics, the same bits each time. Products of float32 are made in float32 ("ieee": no TF32), sums always.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.capture.kernel import AttentionOperands, wide
from engine.capture.row_fold import RowFold

SMALLEST = 16
"""Fewest rows, columns and channels of a Triton product."""
TILE = 64
"""Rows or keys that are looped over; of the other side twice as many stay. The best of 34 shapes on an H100."""
WARPS = {"sums": 4, "shares": 8}
STAGES = 3


def add_row(
    operands: AttentionOperands,
    d_out: Tensor,
    fold: RowFold,
    gain: float = 1.0,
    sums: Tensor | None = None,
    tile: int = TILE,
) -> None:
    """Add a call's share to ``fold.out`` in place.

    Args:
        operands: q [B, H, s, d], k [B, H, t, d], v [B, H, t, e] in float32, bfloat16 or float16; the bias broadcasts to
            [B, H, s, t].
        d_out: gradient of the attention output, [B, H, s, e].
        fold: row [B, s], out [B, t].
        gain: factor that ``d_out`` carries; ``fold`` gets its share without it.
        sums: log(sum(exp(scores))) of each query row, [B, H, s] float32, if somebody has it: the first pass.
        tile: of the side that is looped over, a power of two; see :func:`fitting_tile`.
    """
    q, k, v, d_out = _alike(operands.q, operands.k, operands.v, d_out)
    batch, heads, rows, width = q.shape
    keys, out_width = v.shape[2:]
    tile = fitting_tile(max(width, out_width), q.dtype, tile)
    fixed = {"BIAS": operands.bias is not None, "D": _padded(width), "E": _padded(out_width), "num_stages": STAGES}
    bias = q[:1, :1, :1, :1] if operands.bias is None else operands.bias
    strides = *q.stride()[:3], *k.stride()[:3], *bias.expand(batch, heads, rows, keys).stride()
    sizes = heads, rows, keys, width, out_width, operands.scale
    if sums is None:
        sums = q.new_empty(batch, heads, rows, dtype=torch.float32)
        grid, shape = (batch * heads, triton.cdiv(rows, 2 * tile)), {"ROWS": 2 * tile, "KEYS": tile}
        _sums[grid](q, k, bias, *strides, *sizes, sums, **shape, **fixed, num_warps=WARPS["sums"])
    shares = q.new_empty(batch, heads, keys, dtype=torch.float32)
    strides = *strides, *v.stride()[:3], *d_out.stride()[:3]
    given = sums.contiguous(), fold.row.float().contiguous(), shares
    grid, shape = (batch * heads, triton.cdiv(keys, 2 * tile)), {"ROWS": tile, "KEYS": 2 * tile}
    _shares[grid](q, k, bias, v, d_out, *strides, *sizes, *given, **shape, **fixed, num_warps=WARPS["shares"])
    fold.out.add_(shares.mean(dim=1), alpha=1 / gain)


def fitting_tile(width: int, dtype: torch.dtype, tile: int = TILE) -> int:
    """Half a tile where heads are wide, and half where numbers are, to fit the shared memory of any GPU (99 KB)."""
    return max(SMALLEST, tile // (1 + (width > 64)) // (1 + (dtype == torch.float32)))


def _padded(width: int) -> int:
    return max(SMALLEST, triton.next_power_of_2(width))


def _alike(*tensors: Tensor) -> list[Tensor]:
    """Of one type, channels side by side: autocast leaves q and k in float32 where a norm is behind them."""
    mixed = len({tensor.dtype for tensor in tensors}) > 1
    alike = [wide(tensor) if mixed else tensor for tensor in tensors]
    return [tensor if tensor.stride(-1) == 1 else tensor.contiguous() for tensor in alike]


@triton.jit
def _sums(
    q_at: tl.tensor, k_at: tl.tensor, bias_at: tl.tensor,
    q_sample: tl.tensor, q_head: tl.tensor, q_row: tl.tensor,
    k_sample: tl.tensor, k_head: tl.tensor, k_row: tl.tensor,
    by_sample: tl.tensor, by_head: tl.tensor, by_row: tl.tensor, by_key: tl.tensor,
    heads: tl.tensor, s: tl.tensor, t: tl.tensor, d: tl.tensor, e: tl.tensor, scale: tl.tensor,
    sums_at: tl.tensor,
    BIAS: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr, D: tl.constexpr, E: tl.constexpr,
) -> None:  # fmt: skip
    """First pass, of a tile of query rows: log(sum(exp(scores))) while the maximum is found."""
    both, rows = tl.program_id(0).to(tl.int64), tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    sample, head = both // heads, both % heads
    k_at += sample * k_sample + head * k_head
    bias_at += sample * by_sample + head * by_head
    q = _load(q_at + sample * q_sample + head * q_head, rows, q_row, s, d, D)
    highest = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    for start in range(0, t, KEYS):
        columns = start + tl.arange(0, KEYS)
        k = _load(k_at, columns, k_row, t, d, D)
        scores = _scores(q, k, bias_at, by_row, by_key, rows, columns, s, t, scale, BIAS)
        now = tl.maximum(highest, tl.max(scores, axis=1))
        base = tl.where(now == float("-inf"), 0.0, now)  # a row that may look at nothing so far
        total = total * tl.exp(highest - base) + tl.sum(tl.exp(scores - base[:, None]), axis=1)
        highest = now
    blind = total == 0.0
    sums = tl.where(blind, 0.0, highest) + tl.log(tl.where(blind, 1.0, total))
    tl.store(sums_at + both * s + rows, sums, mask=rows < s)


@triton.jit
def _shares(
    q_at: tl.tensor, k_at: tl.tensor, bias_at: tl.tensor, v_at: tl.tensor, d_at: tl.tensor,
    q_sample: tl.tensor, q_head: tl.tensor, q_row: tl.tensor,
    k_sample: tl.tensor, k_head: tl.tensor, k_row: tl.tensor,
    by_sample: tl.tensor, by_head: tl.tensor, by_row: tl.tensor, by_key: tl.tensor,
    v_sample: tl.tensor, v_head: tl.tensor, v_row: tl.tensor,
    d_sample: tl.tensor, d_head: tl.tensor, d_row: tl.tensor,
    heads: tl.tensor, s: tl.tensor, t: tl.tensor, d: tl.tensor, e: tl.tensor, scale: tl.tensor,
    sums_at: tl.tensor, row_at: tl.tensor, shares_at: tl.tensor,
    BIAS: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr, D: tl.constexpr, E: tl.constexpr,
) -> None:  # fmt: skip
    """Second pass, of a tile of keys: the head's share of the row."""
    both, columns = tl.program_id(0).to(tl.int64), tl.program_id(1) * KEYS + tl.arange(0, KEYS)
    sample, head = both // heads, both % heads
    q_at += sample * q_sample + head * q_head
    d_at += sample * d_sample + head * d_head
    bias_at += sample * by_sample + head * by_head
    k = _load(k_at + sample * k_sample + head * k_head, columns, k_row, t, d, D)
    v = _load(v_at + sample * v_sample + head * v_head, columns, v_row, t, e, E)
    share = tl.zeros([KEYS], tl.float32)
    for start in range(0, s, ROWS):
        rows = start + tl.arange(0, ROWS)
        inside = rows < s
        scores = _scores(
            _load(q_at, rows, q_row, s, d, D), k, bias_at, by_row, by_key, rows, columns, s, t, scale, BIAS
        )
        sums = tl.load(sums_at + both * s + rows, mask=inside, other=float("inf"))  # A = 0 beyond the last row
        gradient = tl.dot(_load(d_at, rows, d_row, s, e, E), tl.trans(v), input_precision="ieee")
        weight = tl.load(row_at + sample * s + rows, mask=inside, other=0.0)
        product = tl.exp(scores - sums[:, None]) * tl.maximum(gradient, 0.0)  # A is never negative
        share += tl.sum(weight[:, None] * product, axis=0)
    tl.store(shares_at + both * t + columns, share, mask=columns < t)


@triton.jit
def _load(
    pointer: tl.tensor, rows: tl.tensor, stride: tl.tensor, count: tl.tensor, width: tl.tensor, WIDTH: tl.constexpr
) -> tl.tensor:
    """Rows of one head, which are so far apart: [rows, WIDTH], zeros beyond the tensor."""
    columns = tl.arange(0, WIDTH)
    places = rows[:, None] * stride + columns[None, :]
    return tl.load(pointer + places, mask=(rows[:, None] < count) & (columns[None, :] < width), other=0.0)


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
