"""Gradients of an attention call that the library forms, and those of packed q, k and v, against plain autograd."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import zoo
from torch import Tensor

from engine import explain
from engine.capture import stream
from engine.capture.backward import attention_backward
from engine.capture.calls import AttentionCall
from engine.capture.fused import FusedCall
from engine.capture.kernel import AttentionOperands
from engine.capture.packed import unpacked
from engine.methods import GAE

MODELS = ["vit_cls", "vit_map_pool", "swin", "open_clip", "hf_vit", "hf_bert"]


def heads(whole: Tensor, layout: str) -> tuple[Tensor, ...]:
    """q, k and v as timm, ``nn.MultiheadAttention`` and Swin take them out of what a linear layer gave."""
    if layout == "timm":  # [B, N, 3 H d]
        return whole.reshape(2, 5, 3, 4, 8).permute(2, 0, 3, 1, 4).unbind()
    if layout == "multihead":  # [3, N, B, H d]
        return tuple(one.view(5, 2 * 4, 8).transpose(0, 1).view(2, 4, 5, 8) for one in whole)
    return whole.view(2, 3, 4, 5, 8).unbind(dim=1)  # [B, 3, H, N, d]


@pytest.mark.parametrize(("layout", "shape"), [("timm", (2, 5, 96)), ("multihead", (3, 5, 2, 32)), ("own", (960,))])
def test_the_gradient_of_what_is_packed_is_that_of_autograd(layout: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    base = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    whole = base * 2
    parts = heads(whole, layout)
    given = [torch.randn_like(one) for one in parts]
    (wanted,) = torch.autograd.grad(parts, whole, given, retain_graph=True)
    found = unpacked(*parts)
    assert found is not None and found[0] is whole
    torch.testing.assert_close(found[1].gradient(*given), wanted, rtol=0, atol=0)


NOT_PACKED: dict[str, Callable[[Tensor], tuple[Tensor, ...]]] = {
    "something is left out": lambda whole: whole.view(3, 2, 4, 5, 8)[:, :, :, :4].unbind(),
    "overlapping": lambda whole: (whole[:320].view(2, 4, 5, 8),) * 3,
    "the last one first": lambda whole: whole.view(3, 2, 4, 5, 8).unbind()[::-1],
    "not alike": lambda whole: (*whole[:640].view(2, 2, 4, 5, 8), whole[640:].view(2, 5, 4, 8).transpose(1, 2)),
    "copies": lambda whole: tuple(one.clone() for one in whole.view(3, 2, 4, 5, 8)),
    "of several": lambda whole: (*(whole * 2).view(3, 2, 4, 5, 8)[:2], whole[640:].view(2, 4, 5, 8)),
}


@pytest.mark.parametrize("how", NOT_PACKED)
def test_other_views_go_the_usual_way(how: str) -> None:
    whole = torch.randn(960, requires_grad=True) * 2
    assert unpacked(*NOT_PACKED[how](whole)) is None


@pytest.mark.parametrize("causal", [False, True])
def test_the_librarys_gradients_stand_in_for_ours(causal: bool) -> None:
    torch.manual_seed(0)
    q, k, v, d_out = (torch.randn(2, 3, 7, 8, dtype=torch.float64) for _ in range(4))
    call = AttentionCall("", q, k, v, None, causal, 0.4, F.scaled_dot_product_attention)
    operands, row = AttentionOperands(q, k, v, 0.4, call.bias()), torch.rand(2, 7).double()
    outs = [torch.zeros(2, 7).double() for _ in range(2)]
    ours = attention_backward(operands, d_out, GAE().folded(outs[0], row), True)
    fused = FusedCall(call)
    torch.testing.assert_close(fused.out(), F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=0.4))
    for _ in range(2):  # several targets share a forward pass
        outs[1].zero_()
        found = attention_backward(operands, d_out, GAE().folded(outs[1], row), True, fused=fused)
    for one, other in zip((*found, outs[1]), (*ours, outs[0]), strict=True):
        torch.testing.assert_close(one, other)
    outs[1].zero_()
    assert attention_backward(operands, d_out, GAE().folded(outs[1], row), False, fused=fused) == (None,) * 3
    torch.testing.assert_close(outs[1], outs[0])


@pytest.mark.parametrize("name", MODELS)
def test_models_have_the_same_maps_either_way(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = zoo.build(name), zoo.inputs(name)
    wanted = explain(model, data, engine="stream").relevancy
    monkeypatch.setattr(stream, "uses_library_backward", lambda q: True)
    found = explain(model, data, engine="stream").relevancy
    for modality, row in wanted.items():
        assert (found[modality] - row).abs().max() < 1e-5 * row.abs().max()


@pytest.mark.parametrize("library", [False, True])
def test_nothing_of_an_explanation_stays_in_memory(library: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = zoo.build("vit_cls"), zoo.inputs("vit_cls")
    monkeypatch.setattr(stream, "uses_library_backward", lambda q: library)
    kept: list[Any] = []

    def watch(module: Any, inputs: Any, output: Tensor) -> None:
        kept.append(weakref.ref(output))

    handle = model.blocks[0].attn.qkv.register_forward_hook(watch)
    gc.disable()  # whatever goes, goes at once: on a GPU nobody waits for the collector
    try:
        explain(model, data, engine="stream")
    finally:
        gc.enable()
        handle.remove()
    assert kept and all(one() is None for one in kept)
