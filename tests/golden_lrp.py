"""The authors' numbers for everything that uses LRP; the tape records today's unmodified models.

``test_goldens`` imports these tests, so that one file holds all cases.
"""

from __future__ import annotations

import oracles
import pytest
import torch
from golden_cases import (
    LRP_TOLERANCE,
    TOLERANCE,
    assert_close,
    case,
    detr,
    explained,
    lxmert,
    question,
    stored,
    tensors,
    visual_bert,
    vit,
)

from engine import explain, explain_targets
from engine.capture.scope import frozen
from engine.lrp.relevances import Relevances
from engine.methods import GAE, PartialLRP, TransformerAttribution
from engine.models import find_adapter
from engine.targets import Class, Labels, QueryClass

PRECISIONS = pytest.mark.parametrize("precision", ["f32", "f64"])


def bound(name, method, precision):
    """In float32 the authors' own results are this far from their float64 results; the tape runs in float64."""
    if precision == "f64":
        return LRP_TOLERANCE
    return TOLERANCE["f32"] + case(name)[0]["f32_vs_f64_max_relative_to_peak"][method]


def vit_targets():
    targets = tensors("vit_model")["input/targets"]
    return [targets[:, t] for t in range(targets.shape[1])]


@PRECISIONS
@pytest.mark.parametrize(
    ("key", "method", "start"),
    [
        ("transformer_attribution_start0", TransformerAttribution(), 0),
        ("transformer_attribution_start1", TransformerAttribution(), 1),
        ("partial_lrp", PartialLRP(), 0),
        ("partial_lrp_grad", PartialLRP(gradient=True), 0),
    ],
)
def test_lrp_vit(key, method, start, precision):
    model, images = vit(precision)
    results = explain_targets(model, images, vit_targets(), method=method, start_layer=start)
    found = torch.stack([result.relevancy["image"] for result in results], dim=1)
    assert_close(found, tensors("vit_model")[f"{precision}/{key}"], bound("vit_model", key, precision))


@PRECISIONS
def test_lrp_vit_pixels(precision):
    model, images = vit(precision)
    results = explain_targets(model, images, vit_targets(), method="lrp")
    expected = tensors("vit_model")[f"{precision}/full_lrp"]
    limit = bound("vit_model", "full_lrp", precision)
    assert_close(torch.stack([result.pixels for result in results], dim=1), expected, limit)
    rows, columns = results[0].grid
    patches = expected.unflatten(3, (columns, -1)).unflatten(2, (rows, -1)).sum(dim=(3, 5)).flatten(2)
    found = torch.stack([result.relevancy["image"] for result in results], dim=1)
    pixels = expected[0, 0].numel() // patches.shape[-1]  # errors of a patch's pixels may add up
    assert_close(found, patches, limit * (1 if precision == "f64" else pixels))


def prefixes(name):
    return sorted({key.split("/")[0] for key in tensors(name)})


def maps_of(model, inputs, target, conserving=True):
    """Relevance of every attention map of one sample, by site."""
    adapter = find_adapter(model)
    batch = adapter.prepare(model, inputs, None)
    steps = adapter.steps(model)
    if steps is None:
        sites = [site for tower in adapter.towers(model, batch) for site in tower.layers]
    else:
        sites = [step.site for group in steps for step in group] + list(adapter.idle_sites(model))
    with frozen(model), adapter.scope(model):
        return Relevances(model, adapter, batch, sites).of_maps(target, sites, conserving)


@pytest.mark.parametrize("prefix", prefixes("vit_rules"))
def test_lrp_vit_maps(prefix):
    golden = tensors("vit_rules")
    sample, column = int(prefix[1 : prefix.index("t")]), int(prefix[prefix.index("t") + 1 :])
    model, images = vit("f64")
    target = Labels(tensors("vit_model")["input/targets"][sample : sample + 1, column])
    for conserving in (True, False):
        maps = list(maps_of(model, images[sample : sample + 1], target, conserving).values())
        for i, found in enumerate(maps):
            key = f"{prefix}/lrp_cam/{i}" if conserving else f"{prefix}/orig_lrp_cam_last"
            if conserving or i == len(maps) - 1:
                assert_close(found[0], golden[key].reshape(found[0].shape), LRP_TOLERANCE)


@pytest.mark.parametrize("prefix", prefixes("visualbert_rules"))
def test_lrp_visual_bert_maps(prefix):
    golden, name = tensors("visualbert_rules"), "visualbert_model_mmf_head"
    sample, column = int(prefix[1 : prefix.index("t")]), int(prefix[prefix.index("t") + 1 :])
    target = Class(int(tensors(name)["input/targets"][sample, column]))
    for i, found in enumerate(maps_of(visual_bert("mmf", "f64"), question(name, sample, "f64"), target).values()):
        assert_close(found[0], golden[f"{prefix}/lrp_cam/{i}"], LRP_TOLERANCE)


def lxmert_site(name):
    kind, _, index = name.rpartition("_")
    if kind in ("lang", "img"):
        return f"lxmert.encoder.{'layer' if kind == 'lang' else 'r_layers'}.{index}.attention.self"
    layer, _, role = name.partition("_")
    place = {
        "cross_t_from_i": "visual_attention.att#0",
        "cross_i_from_t": "visual_attention.att#1",
        "self_t": "lang_self_att.self",
        "self_i": "visn_self_att.self",
    }[role]
    return f"lxmert.encoder.x_layers.{layer[1:]}.{place}"


def stored_maps(golden, prefix):
    start = f"{prefix}/lrp_cam/"
    return {k.removeprefix(start): v for k, v in golden.items() if k.startswith(start)}


@pytest.mark.parametrize("prefix", prefixes("lxmert_rules"))
def test_lrp_lxmert_maps(prefix):
    sample, column = int(prefix[1 : prefix.index("t")]), int(prefix[prefix.index("t") + 1 :])
    target = Class(int(tensors("lxmert_model")["input/targets"][sample, column]))
    maps = maps_of(lxmert("f64"), question("lxmert_model", sample, "f64"), target)
    expected = stored_maps(tensors("lxmert_rules"), prefix)
    assert len(expected) == len(maps)
    for name, tensor in expected.items():
        assert_close(maps[lxmert_site(name)][0], tensor, LRP_TOLERANCE)


def detr_target(sample, column):
    golden = tensors("detr_model")
    rows = slice(sample, sample + 1)
    return QueryClass(golden["input/target_query"][rows, column], golden["input/target_class"][rows, column])


@pytest.mark.parametrize("prefix", prefixes("detr_rules"))
def test_lrp_detr_maps(prefix):
    sample, column = int(prefix[1 : prefix.index("q")]), int(prefix[prefix.index("q") + 1 :])
    image = tensors("detr_model")["input/pixel_values"][sample : sample + 1].double()
    maps = maps_of(detr("f64"), image, detr_target(sample, column))
    expected = stored_maps(tensors("detr_rules"), prefix)
    assert len(expected) == len(maps)
    for name, tensor in expected.items():
        kind, _, index = name.rpartition("_")
        stack = "encoder" if kind == "enc" else "decoder"
        place = "encoder_attn" if kind == "dec_cross" else "self_attn"
        assert_close(maps[f"model.{stack}.layers.{index}.{place}"][0], tensor, LRP_TOLERANCE)


METHODS = {
    "ours_lrp": GAE(use_lrp=True),
    "ours_lrp_nonorm": GAE(use_lrp=True, normalize=False),
    "transformer_attr": TransformerAttribution(),
    "partial_lrp": PartialLRP(),
}


@PRECISIONS
@pytest.mark.parametrize("head", ["hf", "mmf"])
@pytest.mark.parametrize("method", ["transformer_attr", "partial_lrp"])
def test_lrp_visual_bert(method, head, precision):
    name = f"visualbert_model_{head}_head"
    for sample, column, answer in explained(name):
        inputs = question(name, sample, precision)
        (expected,) = stored(name, precision, method, sample, column).values()
        texts = inputs["input_ids"].shape[1]
        result = explain(visual_bert(head, precision), inputs, target=answer, method=METHODS[method]).relevancy
        shown = torch.cat([result["text"][0, 1 : texts - 1], result["image"][0]])
        wanted = torch.cat([expected[1 : texts - 1], expected[texts:]])
        scale = float(expected.abs().max() / wanted.abs().max())
        assert_close(shown, wanted, bound(name, method, precision) * scale)


@PRECISIONS
@pytest.mark.parametrize("method", METHODS)
def test_lrp_lxmert(method, precision):
    limit = bound("lxmert_model", method, precision)
    for sample, column, answer in explained("lxmert_model"):
        inputs = question("lxmert_model", sample, precision)
        result = explain(lxmert(precision), inputs, target=answer, method=METHODS[method], keep_matrices=True)
        expected = stored("lxmert_model", precision, method, sample, column)
        assert_close(result.matrices["text", "image"][0], expected["R_t_i"], limit)
        assert_close(result.matrices["text", "text"][0], expected["R_t_t"], limit)
        assert_close(result.relevancy["image"][0], expected["R_t_i"][0], limit * peaks(expected["R_t_i"]))


def peaks(matrix):
    """The bound is relative to the peak of the whole matrix; the read-out row's own may be smaller."""
    return float(matrix.abs().max() / matrix[0].abs().max()) if matrix[0].any() else 1.0


@PRECISIONS
@pytest.mark.parametrize("method", METHODS)
def test_lrp_detr(method, precision):
    golden = tensors("detr_model")
    images = golden["input/pixel_values"].to(golden[f"{precision}/logits"].dtype)
    targets = [
        QueryClass(golden["input/target_query"][:, k], golden["input/target_class"][:, k])
        for k in range(golden["input/target_query"].shape[1])
    ]
    results = explain_targets(detr(precision), images, targets, method=METHODS[method])
    found = torch.stack([result.relevancy["image"] for result in results], dim=1)
    assert_close(found, golden[f"{precision}/{method}"], bound("detr_model", method, precision))


@pytest.mark.parametrize("prefix", prefixes("vit_rules"))
def test_lrp_vit_rules_by_the_oracles(prefix):
    """From the stored relevances of A: products of layers, and readings of the last map, written plainly."""
    golden = tensors("vit_rules")
    depth = case("vit_rules")[0]["depth"]
    maps = [[golden[f"{prefix}/{kind}/{i}"].numpy() for kind in ("lrp_cam", "dA")] for i in range(depth)]
    last, gradient = golden[f"{prefix}/orig_lrp_cam_last"].numpy(), maps[-1][1]
    results = {
        "transformer_attribution_start0": oracles.transformer_product([(r, d) for r, d in maps]),
        "transformer_attribution_start1": oracles.transformer_product([(r, d) for r, d in maps[1:]]),
        "partial_lrp": last.clip(min=0).mean(axis=0),
        "partial_lrp_grad": oracles.abar(last, gradient),
    }
    for method, matrix in results.items():
        assert_close(torch.from_numpy(matrix[0, 1:].copy()), golden[f"{prefix}/expected/{method}"], 1e-9)
