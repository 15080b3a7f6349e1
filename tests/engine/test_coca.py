"""CoCa of open_clip against the plain writing: attentional pooler, and a class token at the end of the text."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch
import torch.nn.functional as F
import zoo
from torch import nn

from engine import explain


def with_weights(module, args, kwargs):
    return args, {**kwargs, "need_weights": True}


def written_out(model, data, tower, monkeypatch):
    """A and dA of every attention of a tower for the pair logits, by PyTorch's own explicit softmax, [B, H, s, t]."""
    maps, handles = [], []
    softmax = F.softmax

    def kept(*args, **kwargs):
        maps.append(softmax(*args, **kwargs))
        return maps[-1]

    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention):
            handles.append(module.register_forward_pre_hook(with_weights, with_kwargs=True))
    with monkeypatch.context() as patch:
        image = model.encode_image(data["image"].double()) if tower == "text" else None
        patch.setattr(F, "softmax", kept)
        text = model.encode_text(data["text"]) if tower == "text" else None
        image = model.encode_image(data["image"].double()) if image is None else image
    text = model.encode_text(data["text"]) if text is None else text
    for handle in handles:
        handle.remove()
    logits = model.logit_scale.exp() * (image * text).sum(dim=-1)
    gradients = torch.autograd.grad(logits.sum(), maps)
    count = len(data["text"])
    return [
        tuple(x.detach().reshape(count, -1, *x.shape[-2:]).numpy() for x in pair)
        for pair in zip(maps, gradients, strict=True)
    ]


@pytest.mark.parametrize(
    ("name", "read"),
    [("open_clip_coca", np.eye(5)[0]), ("open_clip_coca_avg", np.array([0, 0.25, 0.25, 0.25, 0.25]))],
)
def test_image_tower(name, read, monkeypatch):
    model, data = zoo.build(name).double(), zoo.inputs(name)
    result = explain(model, data).relevancy["image"].numpy()
    *blocks, pool = written_out(model, data, "image", monkeypatch)
    for b in range(3):
        pooled = read @ oracles.abar(pool[0][b], pool[1][b])
        expected = pooled @ oracles.gae_matrix([(a[b], g[b]) for a, g in blocks])
        np.testing.assert_allclose(result[b], expected[1:], rtol=1e-8, atol=1e-14)
        assert expected[1:].max() > 0


def test_text_tower(monkeypatch):
    model, data = zoo.build("open_clip_coca").double(), zoo.inputs("open_clip_coca")
    explanation = explain(model, data)
    result = explanation.relevancy["text"].numpy()
    assert result.shape == (3, 9)
    maps = written_out(model, data, "text", monkeypatch)
    for b in range(3):
        row = oracles.gae_matrix([(a[b], g[b]) for a, g in maps])[9]  # the class token stands behind nine tokens
        shown = data["text"][b].numpy() != 0
        np.testing.assert_allclose(result[b], np.where(shown, row[:9], 0), rtol=1e-8, atol=1e-14)
        assert row[:9][shown].max() > 0


def test_the_decoder_is_not_run():
    model, data = zoo.build("open_clip_coca"), zoo.inputs("open_clip_coca")
    ran = []
    handle = model.text_decoder.register_forward_hook(lambda *_: ran.append(1))
    explain(model, data)
    handle.remove()
    assert not ran
