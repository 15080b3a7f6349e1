"""Families of transformers against the plain writing, on the attention that the library returns under "eager"."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch
import zoo

from engine import explain


def eager_maps(model, call, paths, target):
    """A and dA per layer from the modules' own second output; ``call`` runs the model and returns its logits."""
    model.set_attn_implementation("eager")
    maps, handles = [], []
    for path in dict.fromkeys(path.partition("#")[0] for path in paths):
        handles.append(model.get_submodule(path).register_forward_hook(lambda m, i, out: maps.append(out[1])))
    logits = call(model)
    for handle in handles:
        handle.remove()
    gradients = torch.autograd.grad(logits[:, target].sum(), maps)
    return [(a.detach().numpy(), g.numpy()) for a, g in zip(maps, gradients, strict=True)]


def cls(n):
    return np.eye(n)[0]


def mean_after(prefix):
    return lambda n: np.r_[np.zeros(prefix), np.full(n - prefix, 1 / (n - prefix))]


PICTURES = {
    "hf_vit": ("vit.layers.{}.attention", cls, 1),
    "hf_vit_msn": ("vit.layers.{}.attention", cls, 1),
    "hf_ijepa": ("ijepa.layers.{}.attention", mean_after(0), 0),
    "hf_beit": ("beit.layers.{}.attention", mean_after(1), 1),
    "hf_beit_cls_shared_bias": ("beit.layers.{}.attention", cls, 1),
    "hf_deit_distilled": ("deit.layers.{}.attention", lambda n: (np.eye(n)[0] + np.eye(n)[1]) / 2, 2),
    "hf_dinov2": ("dinov2.encoder.layer.{}.attention", lambda n: (cls(n) + mean_after(1)(n)) / 2, 1),
    "hf_dinov2_registers": (
        "dinov2_with_registers.encoder.layer.{}.attention",
        lambda n: (cls(n) + mean_after(4)(n)) / 2,
        4,
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_image_classifiers(name):
    path, start, prefix = PICTURES[name]
    model, images = zoo.build(name).double(), zoo.inputs(name, batch=2).double()
    result = explain(model, images, target=3).relevancy["image"].numpy()
    paths = [path.format(i) for i in range(3)]
    maps = eager_maps(model, lambda m: m(pixel_values=images).logits, paths, 3)
    for b in range(2):
        sample = [(a[b], g[b]) for a, g in maps]
        row = start(sample[0][0].shape[-1])
        moved = row @ oracles.gae_matrix(sample) - row
        np.testing.assert_allclose(result[b], moved[prefix:], rtol=1e-6, atol=1e-13)  # some softmaxes are float32
        assert moved[prefix:].max() > 0


TEXTS = {
    "hf_bert": "bert.encoder.layer.{}.attention.self",
    "hf_roberta": "roberta.encoder.layer.{}.attention.self",
    "hf_distilbert": "distilbert.transformer.layer.{}.attention",
    "hf_electra": "electra.encoder.layer.{}.attention.self",
    "hf_albert": "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention",
    "hf_modernbert": "model.layers.{}.attn",
    "hf_modernbert_mean": "model.layers.{}.attn",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_classifiers(name):
    model, data = zoo.build(name).double(), zoo.inputs(name)
    ids = data["text"][2:, :7]  # the longest text, without padding
    result = explain(model, ids, target=1).relevancy["text"][0].numpy()
    paths = [TEXTS[name].format(i) for i in range(2 if name == "hf_albert" else 3)]
    maps = eager_maps(model, lambda m: m(input_ids=ids).logits, paths, 1)
    assert len(maps) == (4 if name == "hf_albert" else 3)
    sample = [(a[0], g[0]) for a, g in maps]
    row = mean_after(0)(7) if name.endswith("mean") else cls(7)
    moved = row @ oracles.gae_matrix(sample) - row
    np.testing.assert_allclose(result[1:-1], moved[1:-1], rtol=1e-6, atol=1e-13)  # first and last are no words
    assert moved[1:-1].max() > 0
