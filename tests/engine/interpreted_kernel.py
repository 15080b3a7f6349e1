"""Run the Triton kernel on the CPU beside the plain one, case by case; prints how far they are apart as JSON.

Started by test_triton_kernel.py with TRITON_INTERPRET=1, which Triton reads when it is imported. The interpreter has no
products of bfloat16: test_gpu.py has them.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from torch import Tensor

from engine.capture.kernel import AttentionOperands, fold_backward
from engine.capture.row_fold import RowFold
from engine.capture.triton_kernel import add_row
from engine.methods import GAE

CASES: dict[str, dict[str, Any]] = {
    "one tile, narrow heads": {"shape": (1, 1, 9, 9, 8)},
    "several of everything": {"shape": (2, 2, 37, 37, 16)},
    "a whole number of tiles": {"shape": (1, 2, 32, 32, 32)},
    "one more than a tile": {"shape": (2, 1, 33, 17, 32)},
    "wide heads": {"shape": (1, 2, 21, 21, 64)},
    "odd heads": {"shape": (1, 2, 19, 19, 24)},
    "larger tiles": {"shape": (1, 2, 70, 70, 16), "tile": 32},
    "cross attention": {"shape": (2, 3, 5, 45, 16)},
    "a pool's single query": {"shape": (2, 2, 1, 20, 16)},
    "causal": {"shape": (1, 2, 37, 37, 16), "bias": "causal"},
    "padding, some rows blind": {"shape": (3, 1, 21, 21, 16), "bias": "padding"},
    "a bias per head": {"shape": (2, 3, 18, 18, 16), "bias": "heads"},
    "a bias per sample and row": {"shape": (2, 2, 18, 18, 16), "bias": "rows"},
    "with a gain": {"shape": (2, 2, 19, 19, 16), "gain": 256.0},
    "views of one tensor": {"shape": (2, 2, 19, 19, 16), "packed": True},
    "scores that would overflow": {"shape": (1, 2, 19, 19, 16), "size": 30.0},
    "float16": {"shape": (1, 2, 37, 37, 16), "dtype": torch.float16},
    "float16 and float32": {"shape": (2, 2, 19, 19, 16), "dtype": torch.float16, "mixed": True},
}


def operands(case: dict[str, Any]) -> tuple[AttentionOperands, Tensor]:
    """The call of a case, and the gradient of its output."""
    torch.manual_seed(0)
    batch, heads, rows, keys, width = case["shape"]
    size, dtype = case.get("size", 1.0), case.get("dtype", torch.float32)
    q = (torch.randn(batch, heads, rows, width) * size).to(dtype)
    k, v = (torch.randn(batch, heads, keys, width).to(dtype) for _ in range(2))
    if case.get("packed"):
        q, k, v = torch.randn(batch, rows, 3, heads, width).permute(2, 0, 3, 1, 4).unbind()
    if case.get("mixed"):
        q, k = q.float(), k.float()
    d_out = (torch.randn(batch, heads, rows, width) * case.get("gain", 1.0)).to(dtype)
    return AttentionOperands(q, k, v, 0.7 / width**0.5, bias_of(case)), d_out


def bias_of(case: dict[str, Any]) -> Tensor | None:
    """An additive bias that broadcasts as those of models do."""
    batch, heads, rows, keys, _ = case["shape"]
    kind = case.get("bias")
    if kind == "causal":
        return torch.full((rows, keys), float("-inf")).triu_(1)[None, None]
    if kind == "padding":
        bias = torch.zeros(batch, 1, 1, keys)
        for sample in range(batch):
            bias[sample, ..., keys - 6 * sample :] = float("-inf")
        bias = bias.repeat(1, 1, rows, 1)
        bias[1, :, 3] = float("-inf")
        return bias
    if kind == "heads":
        return torch.randn(1, heads, rows, keys)
    return torch.randn(batch, 1, rows, 1).expand(-1, -1, -1, keys) if kind == "rows" else None


def apart(case: dict[str, Any]) -> float:
    """Largest difference of the row over its peak."""
    call, d_out = operands(case)
    gain = case.get("gain", 1.0)
    row = torch.rand(len(call.q), call.q.shape[2])
    begun = torch.rand(len(call.q), call.k.shape[2])
    plain_out, out = begun.clone(), begun.clone()
    fold_backward(call, d_out, GAE().pooled(plain_out, row), False, gain)
    add_row(call, d_out, RowFold(row, out, lambda *_: None), gain, tile=case.get("tile", 16))
    return error(out - begun, plain_out - begun)


def error(found: Tensor, wanted: Tensor) -> float:
    """Largest difference over the peak; NaN counts as infinitely far."""
    difference = (found.float() - wanted.float()).abs().max() / wanted.float().abs().max()
    return float(difference.nan_to_num(nan=float("inf")))


if __name__ == "__main__":
    json.dump({name: apart(case) for name, case in CASES.items()}, sys.stdout)
