"""Methods on the LRP tape, and LeGrad: independent writings, conservation, batches, refusals, untouched models."""

from __future__ import annotations

import pytest
import torch
import zoo
import zoo_streams
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from transformers import LxmertForQuestionAnswering
from untouched import Failing, assert_same, snapshot

from engine import EngineError, UnsupportedModel, explain, explain_detections, explain_targets
from engine.capture.scope import frozen
from engine.copies import in_double, sharing_weights
from engine.lrp import attn
from engine.lrp import relevances as relevances_module
from engine.lrp.propagate import MixedSamples, Propagation
from engine.lrp.relevances import Relevances
from engine.lrp.tape import Tape
from engine.methods import GAE, AttnLRP, FullLRP, LeGrad, PartialLRP, TransformerAttribution, unscaled_method
from engine.models import find_adapter
from engine.targets import Class, Contrast, QueryClass

METHODS = {
    "transformer_attribution": TransformerAttribution(),
    "gae_lrp": GAE(use_lrp=True),
    "partial_lrp": PartialLRP(minmax=False),
    "partial_lrp_gradient": PartialLRP(minmax=False, gradient=True),
    "lrp": FullLRP(),
    "attn_lrp": AttnLRP(),
    "legrad": LeGrad(),
}


def relevances(model, images, **settings):
    adapter = find_adapter(model)
    batch = adapter.prepare(model, images, None)
    (tower,) = adapter.towers(model, batch)
    return Relevances(model, adapter, batch, (*tower.layers, *((tower.pool,) if tower.pool else ())), **settings)


# Independent writings: torch's own autograd, bent by hand, and a forward pass of the blocks written out here.


def by_hand(model, images, norm, gelu, product):
    """A timm ViT, forwards: token states before every block, attention of every block, and what follows the blocks."""
    x = model._pos_embed(model.patch_embed(images))
    states, maps = [], []
    for block in model.blocks:
        x = x.detach().requires_grad_() if not states or product is None else x
        states.append(x)
        attn = block.attn
        qkv = attn.qkv(norm(block.norm1, x)).unflatten(-1, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
        scores = (product or torch.matmul)(qkv[0] * attn.scale, qkv[1].transpose(-2, -1))
        maps.append(scores.softmax(dim=-1))
        mixed = (product or torch.matmul)(maps[-1], qkv[2])
        x = x + attn.proj(mixed.transpose(1, 2).flatten(2))
        x = x + block.mlp.fc2(gelu(block.mlp.fc1(norm(block.norm2, x))))
        if product is None:
            states[-1] = (states[-1], x)
    return states, maps, x


def fixed_norm(layer, x):
    """Layer norm whose standard deviation is a constant for autograd."""
    deviation = (x.var(dim=-1, keepdim=True, correction=0) + layer.eps).sqrt().detach()
    return (x - x.mean(dim=-1, keepdim=True)) / deviation * layer.weight + layer.bias


def fixed_gelu(x):
    """x times a constant factor."""
    return x * (torch.nn.functional.gelu(x) / x).detach()


def halved(a, b):
    """a @ b whose gradient gives half to each operand."""
    return (a @ b.detach() + a.detach() @ b) / 2


@pytest.mark.parametrize("seed", [0, 1])
def test_attn_lrp_is_gradient_times_input_of_the_bent_model(seed, monkeypatch):
    """Without the epsilon, AttnLRP equals x * dy/dx where products, norms and activations have the rules' gradients."""
    monkeypatch.setattr(attn, "EPSILON", 1e-13)
    model, images = zoo.build("vit_cls", seed).double(), zoo.inputs("vit_cls").double()
    states, _, last = by_hand(model, images, fixed_norm, fixed_gelu, halved)
    score = model.head(fixed_norm(model.norm, last)[:, 0])[:, 2]
    found = explain_targets(model, images, [2], method="attn_lrp")[0].relevancy["image"]
    (gradient,) = torch.autograd.grad(score.sum(), states[0], retain_graph=True)
    torch.testing.assert_close(found, (states[0] * gradient).sum(-1)[:, 1:], rtol=1e-6, atol=1e-8)
    (gradient,) = torch.autograd.grad(score.sum(), states[2])
    late = explain(model, images, target=2, method="attn_lrp", start_layer=2).relevancy["image"]
    torch.testing.assert_close(late, (states[2] * gradient).sum(-1)[:, 1:], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("start", [0, 1])
def test_legrad_by_hand(start):
    """Gradient of the score that the head gives to each block's own output, one backward pass per block."""
    model, images = zoo.build("vit_cls").double(), zoo.inputs("vit_cls").double()
    pairs, maps, _ = by_hand(model, images, lambda layer, x: layer(x), torch.nn.functional.gelu, None)
    rows = []
    for (_, out), attention in zip(pairs[start:], maps[start:], strict=True):
        score = model.head(model.norm(out)[:, 0])[:, 1]
        (gradient,) = torch.autograd.grad(score.sum(), attention)
        rows.append(gradient.clamp(min=0).mean(dim=(1, 2)))
    found = explain(model, images, target=1, method="legrad", start_layer=start).relevancy["image"]
    torch.testing.assert_close(found, torch.stack(rows).mean(0)[:, 1:], rtol=1e-9, atol=1e-12)


def test_legrad_explains_the_class_that_the_whole_model_predicts():
    """An early layer may prefer another class; it is asked about the predicted one all the same."""
    model, images = zoo.build("vit_cls", seed=3), zoo.inputs("vit_cls", batch=4)
    result = explain(model, images, method="legrad")
    again = explain(model, images, target=result.target_index, method="legrad")
    assert torch.equal(result.relevancy["image"], again.relevancy["image"])


# Conservation.


def test_the_conserving_rules_keep_the_score():
    """What arrives at the first block sums to the score, up to what biases and unlike signs swallow."""
    model, images = zoo.build("vit_cls").double(), zoo.inputs("vit_cls").double()
    with frozen(model):
        session = relevances(model, images, blocks=("blocks.0",))
        found = session.of_blocks(Class(1), Propagation)["blocks.0"]
        score = model(images)[:, 1]
    torch.testing.assert_close(found.sum(dim=(1, 2)), score, rtol=1e-4, atol=1e-6)


def test_attn_lrp_keeps_the_score_without_biases():
    model, images = zoo.build("vit_cls").double(), zoo.inputs("vit_cls").double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    with frozen(model):
        session = relevances(model, images, blocks=("blocks.2",))
        found = session.of_blocks(Class(1), attn.AttnPropagation)["blocks.2"].sum(dim=(1, 2))
        score = model(images)[:, 1]
    # softmax is the one rule with a remainder: its Taylor expansion has a constant term
    assert ((found - score).abs() < 0.5 * score.abs()).all()


def test_partial_lrp_variants_differ():
    model, images = zoo.build("vit_cls"), zoo.inputs("vit_cls")
    plain, gradient = (explain(model, images, method=PartialLRP(gradient=g)).relevancy["image"] for g in (False, True))
    assert (plain >= 0).all()
    assert not torch.allclose(plain, gradient)
    assert unscaled_method("partial_lrp").minmax is False


def test_targets_start_the_relevance():
    """A contrast starts with +1 and -1: full LRP is linear in where it starts."""
    model, images = zoo.build("vit_cls").double(), zoo.inputs("vit_cls").double()
    results = explain_targets(model, images, [Class(0), Class(3), Contrast(0, 3)], method="lrp")
    first, second, contrast = (result.pixels for result in results)
    # the classic linear rule is linear in R, so the difference is exact
    torch.testing.assert_close(contrast, first - second, rtol=1e-6, atol=1e-8)
    assert not torch.allclose(first, second)


# Batches.

FAMILIES = ["vit_cls", "vit_avg", "vit_map_pool", "eva02_rope_cls", "hf_dinov2", "hf_bert", "open_clip", "hf_clip", "hf_siglip", "hf_vilt", "hf_blip_itm", "hf_modernbert", "open_clip_coca"]  # fmt: skip # noqa: E501


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", FAMILIES)
def test_batch_equals_samples(name, method):
    model, data = zoo.build(name).double(), zoo.inputs(name)
    try:
        whole = explain(model, data, method=METHODS[method]).relevancy
    except UnsupportedModel as refusal:
        assert method in ("lrp", "legrad"), refusal
        return
    for i in range(3):
        one = explain(model, zoo.take(data, slice(i, i + 1)), method=METHODS[method]).relevancy
        for modality, rows in whole.items():
            assert torch.equal(rows.isnan()[i : i + 1], one[modality].isnan())
            bound = 1e-8 * float(rows.abs().max())
            torch.testing.assert_close(rows[i : i + 1], one[modality], rtol=1e-7, atol=bound)


def stream_inputs(name):
    if name != "detr":
        return zoo_streams.questions()
    mask = torch.ones(3, 32, 40, dtype=torch.long)
    mask[1, :, 24:], mask[2, 20:] = 0, 0
    generator = torch.Generator().manual_seed(5)
    return {"image": torch.randn(3, 3, 32, 40, generator=generator) * mask[:, None], "pixel_mask": mask}


def stream_target(name, rows):
    return QueryClass(torch.tensor([1, 2, 3])[rows], torch.tensor([0, 1, 2])[rows]) if name == "detr" else None


@pytest.mark.parametrize("method", ["transformer_attribution", "partial_lrp", "attn_lrp"])
@pytest.mark.parametrize("name", zoo_streams.BUILDERS)
def test_streams_batch_equals_samples_and_padding_gets_nothing(name, method):
    model, data = zoo_streams.build(name).double(), stream_inputs(name)
    whole = explain(model, data, method=METHODS[method], target=stream_target(name, slice(None)))
    for i in range(3):
        rows = slice(i, i + 1)
        sample = {k: v[rows] for k, v in data.items()}
        one = explain(model, sample, method=METHODS[method], target=stream_target(name, rows)).relevancy
        for modality, found in whole.relevancy.items():
            bound = 1e-8 * float(found.abs().max())
            torch.testing.assert_close(found[rows], one[modality], rtol=1e-7, atol=bound)
    if name != "detr":
        assert (whole.relevancy["text"][data["attention_mask"] == 0] == 0).all()
        assert (whole.relevancy["image"][~data["region_mask"]] == 0).all()
    else:
        assert (whole.relevancy["image"][1:] == 0).any(dim=1).all()
    assert all(found.abs().sum() > 0 for found in whole.relevancy.values())


class Cut(nn.Module):
    """A block after an operation along the sample axis: it can no longer be told which elements are whose."""

    def __init__(self, block):
        super().__init__()
        self.block, self.attn = block, block.attn

    def forward(self, x):
        return self.block(x[: len(x)])


def test_samples_are_taken_one_by_one_where_they_cannot_be_told_apart():
    plain, images = zoo.build("vit_cls").double(), zoo.inputs("vit_cls").double()
    cut = zoo.build("vit_cls").double()
    cut.blocks[0] = Cut(cut.blocks[0])
    with frozen(cut):
        session = relevances(cut, images)
        recording = session._whole
        walk = Propagation(recording.tape, list(recording.maps.values()), list(recording.maps.values()))
        with pytest.raises(MixedSamples):
            walk.run({recording.tape.value(recording.output.logits): torch.ones_like(recording.output.logits)})
    for method in ("transformer_attribution", "attn_lrp"):
        expected = explain(plain, images, method=method).relevancy["image"]
        torch.testing.assert_close(explain(cut, images, method=method).relevancy["image"], expected)


# Refusals, and what stays behind.


def test_in_place_writes_are_recorded():
    """Values keep the numbers they had when they were read, also when their memory is written to later."""
    x = torch.tensor([[1.0, 2.0]])
    tape = Tape([x], batch=1)
    with torch.no_grad(), tape:
        y = x * 2
        z = y.view(2)
        y += 1
        w = y * 1
    assert tape.value(w).tensor.tolist() == [[3.0, 5.0]]
    first = next(node for node in tape.nodes if node.op == "mul")
    assert first.outputs[0].tensor.tolist() == [[2.0, 4.0]]
    assert tape.value(z).constant is False


class Sorted(VisionTransformer):
    """Sorts its tokens' features: no LRP rule exists for that."""

    def forward_features(self, x, **settings):
        return super().forward_features(x, **settings).sort(dim=-1).values


def test_an_operation_without_a_rule_is_refused():
    torch.manual_seed(0)
    model = Sorted(**zoo.VIT).eval()
    with pytest.raises(UnsupportedModel, match="'sort'"):
        explain(model, zoo.inputs("vit_cls"), method="transformer_attribution")


def test_full_lrp_is_refused_elsewhere():
    for name in ("hf_clip", "hf_bert"):
        with pytest.raises(UnsupportedModel, match="ViT image classifiers"):
            explain(zoo.build(name), zoo.inputs(name), method="lrp")


@pytest.mark.parametrize(("name", "reason"), [("vit_map_pool", "pool"), ("hf_siglip", "pool"), ("hf_bert", "vision"), ("hf_vilt", "modality"), ("hf_blip_itm", "look at each other")])  # fmt: skip # noqa: E501
def test_legrad_says_why_it_cannot(name, reason):
    with pytest.raises(UnsupportedModel, match=reason):
        explain(zoo.build(name), zoo.inputs(name), method="legrad")


def test_stream_is_refused_for_lrp():
    for method in ("transformer_attribution", "lrp", "legrad"):
        with pytest.raises(EngineError, match="engine='record'"):
            explain(zoo.build("vit_cls"), zoo.inputs("vit_cls"), method=method, engine="stream")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["vit_unfused_training_mode", "hf_vit_eager", "open_clip"])
def test_model_is_left_as_found(name, method):
    model, data = zoo.build(name), zoo.inputs(name)
    next(model.parameters()).requires_grad_(False)
    before = snapshot(model)
    if not (name == "open_clip" and method == "lrp"):
        explain(model, data, method=METHODS[method])
    assert_same(model, before)
    with pytest.raises((ZeroDivisionError, UnsupportedModel)):
        explain(model, data, method=METHODS[method], target=Failing())
    assert_same(model, before)


def test_the_tape_runs_in_double_precision():
    """float32 weights: the maps are as exact as the weights allow; without double precision they are not."""
    single, double = zoo.build("vit_cls"), zoo.build("vit_cls").double()
    images = zoo.inputs("vit_cls")
    (tower,) = find_adapter(single).towers(single, images_batch(images))
    with frozen(single), frozen(double):
        exact = relevances(double, images).of_maps(Class(1), tower.layers, True)
        kept = relevances(single, images).of_maps(Class(1), tower.layers, True)
        rough = relevances(single, images, double=False).of_maps(Class(1), tower.layers, True)
    for site in tower.layers:
        peak = exact[site].abs().max()
        assert kept[site].dtype == rough[site].dtype == torch.float32
        assert (kept[site] - exact[site]).abs().max() < 1e-6 * peak
        assert (kept[site] - exact[site]).abs().max() < (rough[site] - exact[site]).abs().max() < 0.1 * peak


def images_batch(images):
    return {"image": images}


def test_a_batch_that_does_not_fit_is_taken_in_chunks(monkeypatch):
    """Also with several targets: nothing of a chunk is kept for the next target."""
    model, images = zoo.build("vit_cls").double(), zoo.inputs("vit_cls", batch=5)
    targets = [None, 0, torch.arange(5)]
    expected = explain_targets(model, images, targets, method="transformer_attribution")
    monkeypatch.setattr(relevances_module, "SMALL_MODEL", 0)
    one = relevances(model, images[:1])._whole.tape.nbytes
    for room, at_once in ((10 * one, 10), (int(2.5 * one), 2), (1, 1)):
        monkeypatch.setattr(relevances_module, "TAPE_BYTES", room)
        assert relevances(model, images)._fitting(5) == at_once
        found = explain_targets(model, images, targets, method="transformer_attribution")
        for a, b in zip(expected, found, strict=True):
            torch.testing.assert_close(a.relevancy["image"], b.relevancy["image"], rtol=1e-9, atol=1e-12)


def test_detections_share_one_tape():
    model, data = zoo_streams.build("detr"), stream_inputs("detr")
    found = explain_detections(model, data, threshold=0.0, most=2, method="transformer_attribution")
    assert [result.target for result in found] == ["detection:0", "detection:1"]
    for result in found:
        again = explain(
            model, data, target=QueryClass(result.query, result.target_index), method="transformer_attribution"
        )
        assert torch.equal(result.relevancy["image"], again.relevancy["image"])
    assert not torch.equal(found[0].relevancy["image"], found[1].relevancy["image"])


def test_a_stream_without_a_block_of_its_own_is_refused():
    """LXMERT without region layers: the first region attention lies inside a layer of both streams."""
    config = zoo_streams.lxmert().config
    config.r_layers = 0
    config.num_hidden_layers["vision"] = 0
    model = LxmertForQuestionAnswering(config).eval()
    with pytest.raises(UnsupportedModel, match="two streams"):
        explain(model, zoo_streams.questions(), method="attn_lrp")
    assert explain(model, zoo_streams.questions(), method="transformer_attribution").relevancy["image"].abs().sum() > 0


def test_copies_of_a_model():
    """Weights shared inside a model stay shared; the copy's modules are its own."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.BatchNorm1d(3)).eval()
    model[1].weight = model[0].weight
    double, shallow = in_double(model), sharing_weights(model)
    assert double[1].weight is double[0].weight
    assert double[0].weight.dtype == double[2].running_mean.dtype == torch.float64
    assert double[2].num_batches_tracked.dtype == torch.long
    assert not any(p.requires_grad for p in double.parameters())
    assert shallow[0].weight is model[0].weight
    assert shallow[0] is not model[0]
    assert all(p.dtype == torch.float32 and p.requires_grad for p in model.parameters())
    x = torch.randn(2, 3)
    torch.testing.assert_close(double(x.double()).float(), model(x))
