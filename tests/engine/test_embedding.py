"""Embeddings of pictures and of texts alone are those whose cosine `forward` gives."""

from __future__ import annotations

import pytest
import torch
import zoo

from engine import UnsupportedModel
from engine.models import find_adapter


@pytest.mark.parametrize("name", zoo.PAIRS)
def test_cosines_are_those_of_forward(name: str) -> None:
    model = zoo.build(name)
    adapter, given = find_adapter(model), zoo.inputs(name)
    batch = adapter.prepare(model, given, None)
    with torch.no_grad():
        images = adapter.embed_images(model, {"image": batch["image"]})
        texts = adapter.embed_texts(model, {"text": batch["text"]})
        expected = adapter.forward(model, batch).cosine
    assert images.shape == texts.shape and images.dim() == 2
    for vectors in (images, texts):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    torch.testing.assert_close((images * texts).sum(dim=1), expected, rtol=1e-5, atol=1e-6)
    assert (images @ texts.T).std() > 0


@pytest.mark.parametrize("name", ["hf_blip_itm", "hf_vilt_retrieval", "vit_cls"])
def test_models_that_read_both_together_say_so(name: str) -> None:
    model = zoo.build(name)
    adapter = find_adapter(model)
    for embed in (adapter.embed_images, adapter.embed_texts):
        with pytest.raises(UnsupportedModel, match=f"{type(model).__name__} does not embed pictures and texts apart"):
            embed(model, {})
