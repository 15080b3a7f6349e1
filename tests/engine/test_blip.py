"""BLIP image-text matching: encoder-decoder rules, read from the first text token."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch
import zoo

from engine import EngineError, UnsupportedModel, explain


def written_out(model, data):
    """A and dA of the "match" logit by autograd through the model's own dropouts: nothing of the engine takes part."""
    paths = {f"enc_{i}": f"vision_model.encoder.layers.{i}.self_attn.dropout" for i in range(3)}
    for i in range(2):
        paths[f"dec_self_{i}"] = f"text_encoder.encoder.layer.{i}.attention.self.dropout"
        paths[f"dec_cross_{i}"] = f"text_encoder.encoder.layer.{i}.crossattention.self.dropout"
    maps, handles = {}, []
    for name, path in paths.items():

        def keep(module, inputs, output, name=name):
            maps[name] = output

        handles.append(model.get_submodule(path).register_forward_hook(keep))
    scores = model(
        input_ids=data["text"], pixel_values=data["image"].double(), attention_mask=data["attention_mask"]
    ).itm_score
    for handle in handles:
        handle.remove()
    gradients = torch.autograd.grad(scores[:, 1].sum(), list(maps.values()))
    numbers = {n: (a.detach().numpy(), g.numpy()) for (n, a), g in zip(maps.items(), gradients, strict=True)}
    return scores[:, 1].detach(), numbers


@pytest.mark.parametrize("engine", ["stream", "record"])
def test_against_the_plain_writing(engine):
    model, data = zoo.build("hf_blip_itm").double(), zoo.inputs("hf_blip_itm")
    explanation = explain(model, data, engine=engine)
    scores, maps = written_out(model, data)
    torch.testing.assert_close(explanation.score, scores)
    assert explanation.grid == (4, 4)
    for b, length in enumerate(data["attention_mask"].sum(dim=1).tolist()):
        rows = {"enc": slice(None), "dec_self": slice(length), "dec_cross": slice(length)}
        columns = {"enc": slice(None), "dec_self": slice(length), "dec_cross": slice(None)}
        a, da = ({n: m[i][b][:, rows[n[:-2]], columns[n[:-2]]] for n, m in maps.items()} for i in (0, 1))
        expected = oracles.detr_gae(a, da, (3, 2))
        np.testing.assert_allclose(explanation.relevancy["image"][b], expected["R_q_i"][0, 1:], rtol=1e-8, atol=1e-14)
        text = np.zeros(9)
        text[1 : length - 1] = expected["R_q_q"][0, 1:-1]  # the first and the last token are no words
        np.testing.assert_allclose(explanation.relevancy["text"][b], text, rtol=1e-8, atol=1e-14)
        assert np.abs(expected["R_q_i"][0]).max() > 0


def test_padding_gets_exactly_zero_and_changes_nothing():
    model, data = zoo.build("hf_blip_itm").double(), zoo.inputs("hf_blip_itm")
    padded = explain(model, data)
    length = int(data["attention_mask"][1].sum())
    assert (padded.relevancy["text"][1, length:] == 0).all()
    alone = explain(model, {"image": data["image"][1:2], "text": data["text"][1:2, :length]})
    torch.testing.assert_close(alone.relevancy["image"][0], padded.relevancy["image"][1])
    torch.testing.assert_close(alone.relevancy["text"][0], padded.relevancy["text"][1, :length])


def test_what_cannot_be_explained_is_said():
    model, data = zoo.build("hf_blip_itm"), zoo.inputs("hf_blip_itm")
    with pytest.raises(EngineError, match="not one tensor"):
        explain(model, data["image"])
    with pytest.raises(EngineError, match="so all layers take part"):
        explain(model, data, start_layer=-1)
    model.config.text_config.is_decoder = False
    with pytest.raises(UnsupportedModel, match="no cross-attention"):
        explain(model, data)
