"""LXMERT on a picture of which every region was taken out: words get nothing from it, and nothing stays behind."""

from __future__ import annotations

import copy

import pytest
import torch

from engine.models import find_adapter
from tests import zoo_streams


@pytest.mark.parametrize("samples", [1, 3])
def test_words_attend_to_nothing(samples: int) -> None:
    model = zoo_streams.build("lxmert").double()
    adapter = find_adapter(model)
    batch = adapter.prepare(model, zoo_streams.questions(samples), None)
    batch = {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}
    none = {**batch, **{name: batch[name][:, :0] for name in ("features", "boxes", "region_mask")}}

    mute = copy.deepcopy(model)  # the same, with cross-attention to the regions that carries zeros
    for layer in mute.lxmert.encoder.x_layers:
        att = layer.visual_attention.att
        att.register_forward_hook(
            lambda _, given, result: (result[0] * 0,) if given[1].shape[1] == batch["features"].shape[1] else result
        )
    assert batch["text"].shape[1] != batch["features"].shape[1]
    with torch.no_grad():
        expected = adapter.forward(mute, batch).logits
        whole = adapter.forward(model, batch).logits
        found = adapter.forward(model, none).logits
        again = adapter.forward(model, batch).logits
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert (found - whole).abs().max() > 1e-6
    torch.testing.assert_close(again, whole, rtol=0, atol=0)
    assert not any(module._forward_hooks for module in model.modules())
