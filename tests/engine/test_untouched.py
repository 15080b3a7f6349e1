"""A model comes out of ``explain`` bit for bit as it went in, also after an error; nothing global stays behind."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
import torch.nn.functional as F
import zoo
from untouched import ORIGINAL, Failing, assert_same, snapshot

from engine import EngineError, explain
from engine.capture.interceptor import Interceptor
from engine.capture.pass_through import PassThrough
from engine.errors import CaptureError


@pytest.mark.parametrize("engine", ["stream", "record"])
@pytest.mark.parametrize("name", zoo.ALL)
def test_model_is_left_as_found(name, engine):
    model, data = zoo.build(name), zoo.inputs(name)
    next(model.parameters()).requires_grad_(False)  # a partly frozen model stays partly frozen
    before = snapshot(model)
    explain(model, data, engine=engine)
    assert_same(model, before)
    with pytest.raises(ZeroDivisionError):
        explain(model, data, target=Failing(), engine=engine)
    assert_same(model, before)
    assert all(p.grad is None for p in model.parameters())


def test_error_in_the_middle_of_the_forward(monkeypatch):
    model, images = zoo.build("vit_cls"), zoo.inputs("vit_cls")
    before = snapshot(model)

    def broken(x):
        raise RuntimeError("no memory left")

    original = model.blocks[1].mlp.forward
    model.blocks[1].mlp.forward = broken
    with pytest.raises(RuntimeError, match="no memory left"):
        explain(model, images)
    model.blocks[1].mlp.forward = original
    del model.blocks[1].mlp.__dict__["forward"]
    assert_same(model, before)


def test_works_inside_no_grad_and_inference_mode():
    model, images = zoo.build("vit_cls"), zoo.inputs("vit_cls")
    expected = explain(model, images).relevancy["image"]
    with torch.no_grad():
        torch.testing.assert_close(explain(model, images).relevancy["image"], expected)
    with torch.inference_mode():
        torch.testing.assert_close(explain(model, images.clone()).relevancy["image"], expected)


def test_gradient_checkpointing_is_suspended_and_restored():
    model, images = zoo.build("vit_cls"), zoo.inputs("vit_cls")
    expected = explain(model, images).relevancy["image"]
    model.set_grad_checkpointing(True)
    torch.testing.assert_close(explain(model, images).relevancy["image"], expected)
    assert model.grad_checkpointing is True


def test_other_threads_keep_the_fused_kernel():
    model, images = zoo.build("vit_cls"), zoo.inputs("vit_cls")
    other = copy.deepcopy(model)
    expected = other(images)
    outputs, stop = [], threading.Event()

    def keep_running():
        while not stop.is_set():
            outputs.append(other(images).detach())

    thread = threading.Thread(target=keep_running)
    thread.start()
    for _ in range(20):
        explain(model, images)
    stop.set()
    thread.join()
    assert outputs
    for output in outputs:
        torch.testing.assert_close(output, expected)


def test_two_threads_explain_at_once():
    jobs = {name: (zoo.build(name), zoo.inputs(name)) for name in ("vit_cls", "open_clip", "hf_vit")}
    expected = {name: explain(*job).relevancy["image"] for name, job in jobs.items()}
    results = {}

    def work(name):
        results[name] = [explain(*jobs[name]).relevancy["image"] for _ in range(10)]

    threads = [threading.Thread(target=work, args=(name,)) for name in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, relevancies in results.items():
        for relevancy in relevancies:
            torch.testing.assert_close(relevancy, expected[name])
    assert F.scaled_dot_product_attention is ORIGINAL


class TestSilentGaps:
    """Attention that is not seen, or seen too often, must be an error and never a plausible map."""

    def test_attention_written_out(self):
        model, images = zoo.build("vit_cls"), zoo.inputs("vit_cls")
        attn = model.blocks[1].attn
        attn.forward = lambda x, **_: attn.proj(x)
        with pytest.raises(CaptureError, match=r"no attention was seen in 'blocks\.1\.attn'"):
            explain(model, images)

    def test_attention_outside_the_known_modules(self):
        model, images = zoo.build("vit_cls"), zoo.inputs("vit_cls")
        model.norm.register_forward_hook(lambda m, i, x: x + ORIGINAL_THROUGH_F(x[:, None])[:, 0] * 0)
        with pytest.raises(CaptureError, match="more attention calls than expected, in modules that the adapter"):
            explain(model, images)

    def test_module_called_twice(self):
        model, images = zoo.build("vit_cls"), zoo.inputs("vit_cls")
        model.blocks[0].register_forward_hook(lambda m, i, x: x + m.attn(x) * 0)
        with pytest.raises(CaptureError, match=r"more attention calls than expected, in 'blocks\.0\.attn'"):
            explain(model, images)

    def test_attention_dropout_is_refused(self):
        layer = torch.nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True).train()
        x = torch.randn(1, 3, 8)
        with (
            pytest.raises(CaptureError, match="dropout"),
            Interceptor(layer, [""], PassThrough()),
        ):
            layer(x, x, x)

    def test_every_error_is_an_engine_error(self):
        assert issubclass(CaptureError, EngineError)


def ORIGINAL_THROUGH_F(x):
    return F.scaled_dot_product_attention(x, x, x)
