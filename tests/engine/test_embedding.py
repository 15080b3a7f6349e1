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


@pytest.mark.parametrize("name", zoo.PAIRS)
def test_each_half_of_a_batch_is_enough_for_its_tower(name: str) -> None:
    model, given = zoo.build(name), zoo.inputs(name)
    adapter = find_adapter(model)
    whole = adapter.prepare(model, given, None)
    image = adapter.prepare_images(model, given["image"])
    text = adapter.prepare_texts(model, given["text"], None, given.get("attention_mask"))
    assert set(image) == {"image"} and "image" not in text
    halves = adapter.image_tower(model, image), adapter.text_tower(model, text)
    for half, expected in zip(halves, adapter.towers(model, whole), strict=True):
        assert half.layers == expected.layers and half.grid == expected.grid
        torch.testing.assert_close(half.start, expected.start)
        assert torch.equal(half.content, expected.content)
    with torch.no_grad():
        torch.testing.assert_close(adapter.embed_images(model, image), adapter.embed_images(model, whole))
        torch.testing.assert_close(adapter.embed_texts(model, text), adapter.embed_texts(model, whole))


@pytest.mark.parametrize("name", zoo.PAIRS)
def test_pair_logits_are_those_of_forward_in_any_shape(name: str) -> None:
    model, given = zoo.build(name), zoo.inputs(name)
    adapter = find_adapter(model)
    with torch.no_grad():
        output = adapter.forward(model, adapter.prepare(model, given, None))
        square = adapter.pair_logits(model, output.cosine.expand(3, 3))
    torch.testing.assert_close(square, output.logits.expand(3, 3))


@pytest.mark.parametrize("name", ["hf_blip_itm", "hf_vilt_retrieval", "vit_cls"])
def test_models_that_read_both_together_say_so(name: str) -> None:
    model = zoo.build(name)
    adapter = find_adapter(model)
    for embed in (adapter.embed_images, adapter.embed_texts):
        with pytest.raises(UnsupportedModel, match=f"{type(model).__name__} does not embed pictures and texts apart"):
            embed(model, {})
