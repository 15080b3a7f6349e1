"""The plain kernel of the streamed backward against autograd, whatever the blocks it works in."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.capture import backward, kernel
from engine.capture.kernel import AttentionOperands, MapBlock, fold_backward
from engine.capture.row_fold import RowFold
from engine.methods import GAE

SHAPES = [(3, 4, 6, 6), (1, 5, 7, 7), (2, 3, 4, 9), (2, 2, 1, 8)]
"""Samples, heads, rows, keys."""
BIASES = ("none", "causal", "heads", "samples")
SIZES = [(1 << 20, 1 << 19), (1 << 20, 60), (1 << 20, 1), (20, 1 << 19)]
"""Entries of a block, and of one that may hold some heads: everything at once, some heads, some rows of one head."""


def operands(shape: tuple[int, ...], bias: str, packed: bool = False) -> tuple[AttentionOperands, Tensor, Tensor]:
    """A call in float64, the gradient of its output, and a row."""
    torch.manual_seed(0)
    batch, heads, rows, keys = shape
    q, k, v = (torch.randn(batch, heads, n, 8).double() for n in (rows, keys, keys))
    if packed:
        q, k, v = torch.randn(batch, rows, 3, heads, 8).double().permute(2, 0, 3, 1, 4).unbind()
    added = {
        "none": None,
        "causal": torch.full((1, 1, rows, keys), float("-inf")).triu(1).double(),
        "heads": torch.randn(1, heads, rows, keys).double(),
        "samples": torch.randn(batch, 1, 1, keys).double(),
    }[bias]
    d_out = torch.randn(batch, rows, heads, 8).double().transpose(1, 2)
    return AttentionOperands(q, k, v, 0.4, added), d_out, torch.rand(batch, rows).double()


def by_autograd(call: AttentionOperands, d_out: Tensor, row: Tensor) -> list[Tensor]:
    """Gradients of q, k, v, and ``row @ mean_h relu(A * dA)``."""
    q, k, v = (one.detach().clone().requires_grad_() for one in (call.q, call.k, call.v))
    scores = call.scale * q @ k.mT
    attention = (scores if call.bias is None else scores + call.bias).softmax(dim=-1)
    found = torch.autograd.grad(attention @ v, (q, k, v, attention), d_out)
    folded = torch.einsum("bs,bhst->bt", row, (attention * found[3]).clamp(min=0)) / q.shape[1]
    return [*found[:3], folded.detach()]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_and_row_are_those_of_autograd(
    shape: tuple[int, ...], bias: str, sizes: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "BLOCK_ELEMENTS", sizes[0])
    monkeypatch.setattr(kernel, "CACHED_ELEMENTS", sizes[1])
    for packed in (False, shape[2] == shape[3]):
        call, d_out, row = operands(shape, bias, packed)
        before = torch.rand(shape[0], shape[3]).double()
        out = before.clone()
        seen: list[MapBlock] = []
        fold = GAE().folded(out, row)
        assert isinstance(fold, RowFold)
        watched = RowFold(row, out, lambda samples, block: (seen.append(block), fold.plain(samples, block))[1])  # noqa: B023
        found = backward.attention_backward(call, d_out, watched, need_grads=True, gain=1.0)
        for ours, wanted in zip((*found, out - before), by_autograd(call, d_out, row), strict=True):
            torch.testing.assert_close(ours, wanted)
        entries = [block.attention.numel() for block in seen]
        assert sum(entries) == shape[0] * shape[1] * shape[2] * shape[3]
        assert max(entries) <= max(min(sizes), shape[3])


@pytest.mark.parametrize("shape", SHAPES)
def test_only_the_gradients_and_only_the_row(shape: tuple[int, ...]) -> None:
    call, d_out, row = operands(shape, "none")
    *wanted, folded = by_autograd(call, d_out, row)
    for ours, one in zip(fold_backward(call, d_out, None, True, heads_apart=True), wanted, strict=True):
        torch.testing.assert_close(ours, one)
    out = torch.zeros_like(folded)
    assert fold_backward(call, d_out * 256, GAE().folded(out, row), False, 256.0, heads_apart=True) == (None,) * 3
    torch.testing.assert_close(out, folded)


@pytest.mark.parametrize("heads_apart", [False, True])
@pytest.mark.parametrize("rows", [[0], [1, 4], []])
def test_rows_without_a_gradient_are_passed_over(
    rows: list[int], heads_apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "CACHED_ELEMENTS", 12)
    call, d_out, row = operands((2, 3, 6, 6), "none")
    active = torch.zeros(6).double()
    active[rows] = 1.0
    d_out = d_out * active[:, None]
    out, seen = torch.zeros(2, 6).double(), 0
    whole = GAE().folded(out, row)

    def fold(samples: slice, block: MapBlock) -> None:
        nonlocal seen
        seen += block.attention.numel()
        whole(samples, block)

    found = fold_backward(call, d_out, fold, need_grads=True, heads_apart=heads_apart)
    for ours, wanted in zip((*found, out), by_autograd(call, d_out, row), strict=True):
        torch.testing.assert_close(ours, wanted)
    assert seen == 2 * 3 * len(rows) * 6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_adds_up_in_float32(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "CACHED_ELEMENTS", 12)
    call, d_out, row = operands((2, 3, 6, 6), "causal")
    half = AttentionOperands(call.q.to(dtype), call.k.to(dtype), call.v.to(dtype), call.scale, call.bias.to(dtype))
    exact = AttentionOperands(half.q.double(), half.k.double(), half.v.double(), call.scale, call.bias)
    out = torch.zeros(2, 6)
    found = backward.attention_backward(half, d_out.to(dtype), GAE().folded(out, row.float()), need_grads=True)
    assert all(one.dtype == dtype for one in found)
    *wanted, folded = by_autograd(exact, d_out.to(dtype).double(), row.float().double())
    torch.testing.assert_close(out.double(), folded, rtol=1e-5, atol=1e-6)  # nothing of it was rounded to half
    for ours, one in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, one.to(dtype), rtol=2e-2, atol=1e-3)
