"""Words and regions taken out: batches equal one shortened sample at a time, and the truth on a model that is known."""

from __future__ import annotations

from functools import cache

import numpy as np
import oracles_faithfulness as oracles
import pytest
import torch
import zoo
import zoo_streams
from transformers.models.lxmert.modeling_lxmert import LxmertAttention

from engine.errors import EngineError
from engine.faithfulness.baselines import random_maps
from engine.faithfulness.curves import areas
from engine.faithfulness.protocols import PROTOCOLS
from engine.faithfulness.tokens import perturbed_token_scores, removable_tokens, without_tokens
from engine.models import find_adapter

PER_TOKEN = {
    "text": ("text", "attention_mask", "token_type_ids"),
    "image": ("features", "boxes", "region_mask", "visual_token_type_ids"),
}


@cache
def model_of(name):
    return (zoo_streams.build(name) if name in zoo_streams.BUILDERS else zoo.build(name)).double()


def data_of(name, samples=3):
    if name in zoo_streams.BUILDERS:
        data = zoo_streams.questions(samples)
        data["token_type_ids"] = torch.randint(0, 2, data["text"].shape, generator=torch.Generator().manual_seed(3))
        if name == "visual_bert":
            data["visual_token_type_ids"] = 1 - data["region_mask"].long()
    else:
        data = zoo.inputs(name, samples)
    data = {key: value.double() if value.is_floating_point() else value for key, value in data.items()}
    return find_adapter(model_of(name)).prepare(model_of(name), data, None)


def logits(name, batch):
    with torch.no_grad():
        return find_adapter(model_of(name)).forward(model_of(name), batch).logits


def attention_to_any_number(self, hidden_states, context, attention_mask=None, output_attentions=False):
    """LXMERT's attention with the number of heads written out, as in earlier versions: keys may be none."""
    heads = lambda x: x.view(*x.shape[:2], self.num_attention_heads, self.attention_head_size).transpose(1, 2)  # noqa: E731
    q, k, v = heads(self.query(hidden_states)), heads(self.key(context)), heads(self.value(context))
    found = q @ k.transpose(-1, -2) / self.attention_head_size**0.5
    weights = torch.softmax(found if attention_mask is None else found + attention_mask, dim=-1)
    return ((weights @ v).transpose(1, 2).reshape(hidden_states.shape),)


def plain_logits(name, batch):
    """The library's own call."""
    if name != "lxmert" or batch["features"].shape[1]:
        return logits(name, batch)
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(LxmertAttention, "forward", attention_to_any_number)
        return model_of(name)(
            input_ids=batch["text"], attention_mask=batch["attention_mask"], token_type_ids=batch["token_type_ids"],
            visual_feats=batch["features"], visual_pos=batch["boxes"],
            visual_attention_mask=batch["region_mask"].double(),
        ).question_answering_score  # fmt: skip


def alone(data, i, modality, kept):
    """Sample i without padding, with these words or regions alone: plain indexing."""
    result = {}
    for own, mask in (("text", "attention_mask"), ("image", "region_mask")):
        if mask in data:
            chosen = kept if own == modality else list(range(int(data[mask][i].sum())))
            result |= {name: data[name][i : i + 1, chosen] for name in PER_TOKEN[own] if name in data}
    return {**{name: tensor[i : i + 1] for name, tensor in data.items()}, **result}


ROUNDING = {"deletion": "gone", "insertion": "inserted"}
CASES = [
    *[(name, modality, name) for name in ("lxmert",) for modality in ("text", "image")],
    ("visual_bert", "text", "visualbert"),
    ("visual_bert", "image", "visualbert"),
    ("lxmert", "image", "insertion"),
    ("visual_bert", "image", "deletion"),
    *[(name, "text", "lxmert") for name in zoo.TEXTS],
    ("hf_bert", "text", "insertion"),
    ("hf_vilt", "text", "deletion"),
]


@pytest.mark.parametrize("direction", ["positive", "negative"])
@pytest.mark.parametrize(("name", "modality", "protocol"), CASES)
def test_batches_equal_one_truly_shortened_sample_at_a_time(name, modality, protocol, direction):
    data = data_of(name, 4)
    lengths = data["attention_mask" if modality == "text" else "region_mask"].sum(dim=1).tolist()
    width = data["text" if modality == "text" else "features"].shape[1]
    maps = torch.stack([random_maps((4, width), range(4)), torch.randint(0, 2, (4, width))])
    chosen = PROTOCOLS[protocol]

    def score(batch, rows):
        return logits(name, batch)[:, 1]

    found = perturbed_token_scores(data, maps, modality, chosen, direction, score, batch_size=5)
    steps = chosen.steps_of(modality)
    assert found.shape == (2, 4, len(steps))
    expected = np.zeros(found.shape)
    for m, i in np.ndindex(2, 4):
        ends = (chosen.kept[0], lengths[i] - chosen.kept[1]) if modality == "text" else (0, lengths[i])
        removable = list(range(*ends))
        always = [k for k in range(lengths[i]) if k not in removable]
        for k, share in enumerate(steps):
            stay = oracles.tokens_left(maps[m, i].numpy(), direction, share, removable, ROUNDING.get(protocol, "stay"))
            expected[m, i, k] = plain_logits(name, alone(data, i, modality, sorted(always + stay)))[0, 1]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert np.ptp(expected, axis=-1).max() > 1e-3


@pytest.mark.parametrize("name", ["visual_bert", "lxmert"])
def test_what_the_model_is_read_from_stays(name):
    data, model = data_of(name), model_of(name)
    protocol = PROTOCOLS[name.replace("_", "")]
    free = removable_tokens(data, "text", protocol.kept)
    adapter = find_adapter(model)
    batch = data
    if name == "visual_bert":
        start = adapter.towers(model, batch)[0].start[:, : free.shape[1]]
    else:
        start = adapter.relation(model, batch, None).row
    assert (start.sum(dim=1) == 1).all()
    assert not free[start > 0].any()
    left = without_tokens(batch, text=data["attention_mask"].bool() & ~free)
    assert left["text"].shape[1] == sum(protocol.kept)
    if name == "visual_bert":  # the shortened sample is read from the same token
        after = adapter.towers(model, left)[0].start[:, : left["text"].shape[1]]
        torch.testing.assert_close(left["text"][after > 0], batch["text"][start > 0])


def test_the_librarys_own_names_are_understood():
    data = data_of("lxmert")
    own = {
        "input_ids": data["text"], "attention_mask": data["attention_mask"], "visual_feats": data["features"],
        "visual_pos": data["boxes"], "visual_attention_mask": data["region_mask"].float(),
    }  # fmt: skip
    keep = data["region_mask"] & (torch.arange(6) % 2 == 0)
    ours, theirs = without_tokens(data, regions=keep), without_tokens(own, regions=keep)
    torch.testing.assert_close(theirs["visual_feats"], ours["features"])
    torch.testing.assert_close(theirs["visual_pos"], ours["boxes"])
    torch.testing.assert_close(theirs["visual_attention_mask"], ours["region_mask"].float())
    assert theirs["input_ids"] is data["text"]


def test_both_at_once_and_inputs_without_masks():
    inputs = {"text": torch.arange(1, 9).reshape(2, 4), "features": torch.randn(2, 3, 5), "other": torch.ones(2)}
    text = torch.tensor([[True, False, True, True], [True, False, False, False]])
    regions = torch.tensor([[False, True, True], [True, False, False]])
    left = without_tokens(inputs, text=text, regions=regions)
    assert left["text"].tolist() == [[1, 3, 4], [5, 0, 0]]
    assert left["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert torch.equal(left["features"][0], inputs["features"][0, 1:])
    assert torch.equal(left["features"][1, 0], inputs["features"][1, 0]) and (left["features"][1, 1] == 0).all()
    assert left["region_mask"].tolist() == [[True, True], [True, False]]
    assert left["other"] is inputs["other"]


def test_special_tokens_in_the_middle_stay():
    inputs = {"text": torch.ones(1, 6).long(), "special": torch.tensor([[True, False, False, True, False, True]])}
    assert removable_tokens(inputs, "text").tolist() == [[False, True, True, False, True, False]]


def test_equal_inputs_are_scored_once_and_unusable_maps_not_at_all():
    data = data_of("visual_bert")
    maps = torch.stack([random_maps((3, 9), range(3)), random_maps((3, 9), range(3, 6))])
    maps[0, 1] = torch.nan
    maps[1, 2, 8] = torch.nan  # padding: decides nothing
    seen = []

    def score(batch, rows):
        seen.extend(rows.tolist())
        return logits("visual_bert", batch)[:, 0]

    usable = np.ones((2, 3), bool)
    usable[0, 1] = False
    found = perturbed_token_scores(data, maps, "text", "visualbert", "positive", score, usable=usable)
    assert np.isnan(found[0, 1]).all() and np.isfinite(found[usable]).all()
    # 6, 4 and 2 words may go, in 3, 3 and 1 different numbers besides none and all; one map of the second sample is out
    assert [seen.count(sample) for sample in range(3)] == [2 + 2 * 3, 2 + 3, 2 + 2 * 1]
    with pytest.raises(EngineError, match="1 maps hold NaN"):
        perturbed_token_scores(data, maps, "text", "visualbert", "positive", score)


def test_refusals_name_what_is_needed():
    data = data_of("lxmert")
    nothing = torch.zeros(3, 6, dtype=torch.bool)
    assert without_tokens(data, regions=nothing)["features"].shape == (3, 0, 12)
    some = nothing.clone()
    some[0, 0] = True
    with pytest.raises(EngineError, match="must not share a batch"):
        without_tokens(data, regions=some)
    with pytest.raises(EngineError, match="without any token"):
        without_tokens(data, text=torch.zeros(3, 9, dtype=torch.bool))
    with pytest.raises(EngineError, match=r"must be \[3, 9\]"):
        without_tokens(data, text=torch.ones(3, 8))
    with pytest.raises(EngineError, match="inputs without regions: text"):
        without_tokens({"text": data["text"]}, regions=nothing)
    with pytest.raises(EngineError, match="inputs without words"):
        removable_tokens({"features": data["features"]}, "text")


# -- the truth: words of known weight -------------------------------------------------------------------------------

IDS = torch.tensor([[90, 7, 1, 30, 11, 2, 50, 5, 91]])


def weight_of_words(batch, rows):
    ids = batch["text"].double()
    return ids.masked_fill((ids >= 90) | (batch["attention_mask"] == 0), 0).sum(dim=1)


@pytest.mark.parametrize("protocol", ["lxmert", "deletion"])
def test_the_oracle_is_best_its_reverse_worst_and_random_in_between(protocol):
    steps = PROTOCOLS[protocol].steps_of("text")
    maps = torch.cat([IDS.double(), -IDS.double(), random_maps((60, 9), range(60)).double()])[:, None]
    rows = perturbed_token_scores({"text": IDS}, maps, "text", protocol, "positive", weight_of_words)[:, 0]
    counts = PROTOCOLS[protocol].counts("text", np.array([7]))[0].tolist()
    best, worst = oracles.extremes(IDS[0, 1:-1].numpy(), sum, counts)
    np.testing.assert_array_equal(rows[0], best)
    np.testing.assert_array_equal(rows[1], worst)
    own, reverse, *others = areas(steps, rows)
    assert all(own <= other <= reverse for other in others)
    assert own + 0.1 * (reverse - own) < np.mean(others) < reverse - 0.1 * (reverse - own)
