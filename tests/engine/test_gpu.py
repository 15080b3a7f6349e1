"""On a CUDA GPU: the numbers of the CPU, the Triton kernel beside the plain one, and half precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import zoo
from torch.nn.attention import SDPBackend, sdpa_kernel

from engine import explain
from engine.capture import backward
from engine.capture.calls import AttentionCall
from engine.capture.fused import FusedCall
from engine.capture.kernel import AttentionOperands, fold_backward
from engine.capture.row_fold import RowFold
from engine.methods import GAE
from engine.models import find_adapter
from engine.models.loading import LoadedModel

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
FAMILIES = ["vit_cls", "vit_map_pool", "swin", "open_clip", "hf_bert"]


def on_gpu(data: Any) -> Any:
    return {k: v.cuda() for k, v in data.items()} if isinstance(data, dict) else data.cuda()


def apart(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> float:
    """Largest difference over the peak, of any modality."""
    return max(float((found[m].cpu() - w).abs().max() / w.abs().max()) for m, w in wanted.items())


@pytest.mark.parametrize("kernel", ["plain", "triton"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_gpu_gives_the_maps_of_the_cpu(name, kernel, monkeypatch):
    model, data = zoo.build(name), zoo.inputs(name)
    wanted = explain(model, data).relevancy
    monkeypatch.setenv(backward.VARIABLE, kernel)
    assert apart(explain(model.cuda(), on_gpu(data)).relevancy, wanted) < 1e-3


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", FAMILIES)
def test_half_precision_is_near_float32(name, precision):
    model, data = zoo.build(name), zoo.inputs(name)
    wanted = explain(model, data).relevancy
    half = LoadedModel(model.cuda(), name, find_adapter(model), None, None, None, precision)
    assert apart(explain(half, on_gpu(data)).relevancy, wanted) < (0.2 if precision == "bf16" else 0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(2, 3, 197, 197, 64), (2, 2, 70, 33, 16), (1, 2, 577, 577, 96), (2, 2, 1, 129, 32)])
@pytest.mark.parametrize("biased", [False, True])
def test_triton_equals_the_plain_kernel(shape, dtype, biased):
    from engine.capture.triton_kernel import add_row

    torch.manual_seed(0)
    batch, heads, rows, keys, width = shape
    q, d_out = (torch.randn(batch, heads, rows, width, device="cuda").to(dtype) for _ in range(2))
    k, v = (torch.randn(batch, heads, keys, width, device="cuda").to(dtype) for _ in range(2))
    bias = torch.randn(1, heads, rows, keys, device="cuda") if biased else None
    call, row = AttentionOperands(q, k, v, width**-0.5, bias), torch.rand(batch, rows, device="cuda")
    wanted, out = (torch.zeros(batch, keys, device="cuda") for _ in range(2))
    fold_backward(call, d_out, GAE().pooled(wanted, row), need_grads=False)
    add_row(call, d_out, RowFold(row, out, lambda *_: None))
    assert float((out - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())


@pytest.mark.parametrize("dtype", backward.HALF)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("backend", [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION])
def test_sums_that_the_library_kept_are_ours(backend, causal, dtype):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 77, 3, 4, 64, device="cuda").to(dtype).permute(2, 0, 3, 1, 4).unbind()
    with sdpa_kernel(backend):
        fused = FusedCall(AttentionCall("", q, k, v, None, causal, 0.1, F.scaled_dot_product_attention))
    scores = 0.1 * q.float() @ k.float().mT
    scores += torch.full((77, 77), -torch.inf if causal else 0.0, device="cuda").triu(1)
    assert (fused.sums() - scores.logsumexp(dim=-1)).abs().max() < 1e-5


def test_the_trial_accepts_this_gpu():
    for dtype in backward.HALF:
        for biased in (False, True):
            assert backward.trial(torch.device("cuda:0"), dtype, 64, biased) is None
