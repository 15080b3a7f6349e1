"""Zero-shot classifiers: vectors and logits written out plainly, maps held against those of pairs, texts read once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import zoo
from model_folders import open_clip_folder
from torch import Tensor
from untouched import assert_same, snapshot

from engine import EngineError, LoadedModel, UnknownName, UnsupportedModel, explain, explain_targets, load_model
from engine.methods import METHODS
from engine.models import find_adapter
from engine.models.preprocess import Preprocess
from engine.models.tokens import TextTokenizer
from engine.models.zero_shot import template_set, zero_shot
from engine.targets import Class, Contrast, Labels, Predicted

GROUPS = {"boat": ["0", "3", "4"], "house": ["1"], "tree": ["2", "1"]}
POOLED = {"open_clip_siglip", "open_clip_coca", "hf_siglip"}


def texts() -> Tensor:
    """Token ids of five texts; a text is written as its row."""
    return zoo.inputs("open_clip", batch=5)["text"]


def loaded(name: str, dtype: torch.dtype = torch.float64) -> LoadedModel:
    model = zoo.build(name).to(dtype)
    rows = texts()
    tokenizer = TextTokenizer(lambda given: rows[[int(text) for text in given]], str, frozenset(), 9, len)
    preprocess = Preprocess(lambda picture: torch.zeros(3, 32, 32), (32, 32), "stretch", (32, 32))
    return LoadedModel(model, name, find_adapter(model), preprocess, tokenizer, None)


def unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True)


def plain_logits(pair: LoadedModel, images: Tensor) -> Tensor:
    """The logits [B, C], written out: temperature, bias, and the mean of each class's unit vectors at unit length."""
    model, adapter = pair.model, pair.adapter
    pictures = adapter.embed_images(model, {"image": images.to(next(model.parameters()).dtype)})
    words = unit(adapter.embed_texts(model, {"text": texts()}))
    classes = [unit(sum(words[int(row)] for row in rows) / len(rows)) for rows in GROUPS.values()]
    bias = getattr(model, "logit_bias", None)
    return model.logit_scale.exp() * pictures @ torch.stack(classes).T + (0 if bias is None else bias)


def same(actual: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    assert torch.equal(actual.isnan(), expected.isnan())
    scale = expected.nan_to_num().abs().max().clamp(min=1e-30)
    assert (actual - expected).nan_to_num().abs().max() / scale < tolerance


@pytest.mark.parametrize("name", zoo.PAIRS)
def test_logits_are_those_of_the_plain_writing(name: str) -> None:
    pair, images = loaded(name), zoo.inputs(name)["image"]
    classifier = zero_shot(pair, GROUPS, batch_size=2)
    with torch.no_grad():
        expected = plain_logits(pair, images)
    result = explain(classifier, images)
    assert expected.std(dim=1).min() > 1e-3, "classes that score alike would make this test empty"
    torch.testing.assert_close(result.logits, expected, rtol=1e-10, atol=1e-12)
    assert torch.equal(result.target_index, expected.argmax(dim=1))
    torch.testing.assert_close(result.score, expected.max(dim=1).values, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("start_layer", [0, -1])
@pytest.mark.parametrize("name", zoo.PAIRS)
def test_the_map_of_a_class_is_the_image_map_of_the_pair(name: str, start_layer: int) -> None:
    """With one prompt per class, for every method without LRP, the states of the patches included."""
    pair, images = loaded(name), zoo.inputs(name)["image"]
    classifier = zero_shot(pair, {str(row): [str(row)] for row in range(5)})
    asked = [Class(0), Class(4)]
    methods = [name for name, method in METHODS.items() if "stream" in method.engines and name != "random"]
    for method in methods:
        found = explain_targets(classifier, images, asked, method=method, start_layer=start_layer, patches=3)
        for target, result in zip(asked, found, strict=True):
            both = {"image": images, "text": [str(target.index)] * len(images)}
            whole = explain(pair, both, target="clip-logit", method=method, start_layer=start_layer, patches=3)
            assert set(result.relevancy) == {"image"} and result.tokens is None and result.grid == whole.grid
            assert method == "grad_cam" or result.relevancy["image"].abs().max() > 0
            same(result.relevancy["image"], whole.relevancy["image"])
            same(result.score, whole.score)
            same(result.features["image"], whole.features["image"])
            same(result.patches.states, whole.patches.states)


@pytest.mark.parametrize("name", ["open_clip", "open_clip_siglip", "hf_clip", "hf_siglip"])
def test_engines_agree_for_every_target(name: str) -> None:
    pair, images = loaded(name), zoo.inputs(name)["image"]
    classifier = zero_shot(pair, GROUPS)
    labels = torch.tensor([2, 0, 1])
    targets = [Predicted(), Labels(labels), "class:house", "contrast:boat,tree"]
    stream = explain_targets(classifier, images, targets, engine="stream")
    record = explain_targets(classifier, images, targets, engine="record")
    for one, other in zip(stream, record, strict=True):
        assert one.relevancy["image"].abs().max() > 0
        same(one.relevancy["image"], other.relevancy["image"])
    logits = stream[0].logits
    torch.testing.assert_close(stream[1].score, logits[torch.arange(3), labels])
    torch.testing.assert_close(stream[2].score, logits[:, 1])
    torch.testing.assert_close(stream[3].score, logits[:, 0] - logits[:, 2])
    by_number = explain(classifier, images, target=Contrast(0, 2)).relevancy["image"]
    same(stream[3].relevancy["image"], by_number)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["open_clip", "open_clip_siglip", "open_clip_coca", "hf_clip", "hf_siglip"])
def test_every_method_works_in_a_batch_as_for_one(name: str, method: str) -> None:
    classifier, images = zero_shot(loaded(name), GROUPS), zoo.inputs(name)["image"]
    if method == "legrad" and name in POOLED:
        with pytest.raises(UnsupportedModel, match="its attention pool"):
            explain(classifier, images, method=method)
        return
    whole = explain(classifier, images, target="class:tree", method=method).relevancy["image"]
    assert whole.shape == (3, 16)
    assert method == "grad_cam" or whole.abs().max() > 0
    single = [explain(classifier, images[i : i + 1], target="class:tree", method=method) for i in range(3)]
    same(whole, torch.cat([one.relevancy["image"] for one in single]), 1e-6)


def test_the_description_is_that_of_a_classifier() -> None:
    """Of transformers' CLIP too, whose configuration speaks of two labels."""
    for name in ("open_clip", "hf_clip"):
        pair = loaded(name)
        classifier = zero_shot(pair, GROUPS)
        card = classifier.card()
        assert (card["task"], card["modalities"], card["text_limit"]) == ("classify", ["image"], None)
        assert (card["class_names"], card["num_classes"]) == (["boat", "house", "tree"], 3)
        assert (card["family"], card["library"]) == ("clip", pair.adapter.library)
        assert card["layers"] == {"image": pair.layers["image"]} and card["start_layer"] == -1
        assert card["grid"] == [4, 4] and classifier.tokenizer is None
        assert pair.num_classes is None and pair.task == "pair"


def test_texts_are_read_once_and_the_model_is_left_as_found() -> None:
    pair, images = loaded("open_clip"), zoo.inputs("open_clip")["image"]
    before, read = snapshot(pair.model), []
    hook = pair.model.transformer.register_forward_hook(lambda module, given, output: read.append(len(output)))
    classifier = zero_shot(pair, GROUPS, batch_size=4)
    assert sum(read) == 6 and len(read) == 2
    for method in ("gae", "partial_lrp", "random"):
        explain_targets(classifier, images, ["predicted", "class:tree"], method=method)
    assert len(read) == 2
    hook.remove()
    assert_same(pair.model, before)


def test_half_precision_and_inference_mode_keep_the_logits() -> None:
    pair, images = loaded("open_clip", torch.float32), zoo.inputs("open_clip")["image"]
    with torch.inference_mode():
        classifier = zero_shot(pair, GROUPS)
    with torch.no_grad():
        expected = plain_logits(pair, images)
    torch.testing.assert_close(explain(classifier, images).logits, expected, rtol=1e-4, atol=1e-4)
    half = explain(replace(classifier, precision="bf16"), images)
    assert half.logits.dtype == torch.float32 and half.relevancy["image"].isfinite().all()
    torch.testing.assert_close(half.logits, expected, rtol=0.02, atol=0.2)


def test_templates_are_for_classes_without_prompts(tmp_path) -> None:
    pair = load_model(f"open_clip:local-dir:{open_clip_folder(tmp_path / 'clip')}")
    both = zero_shot(pair, {"boat": [], "tree": ["two red tree"]}, ["a {}", "photo of the {}"])
    written = zero_shot(pair, {"boat": ["a boat", "photo of the boat"], "tree": ["two red tree"]}, [])
    one = zero_shot(pair, {"boat": [], "tree": []}, ["a {}"])
    torch.testing.assert_close(both.adapter.weights, written.adapter.weights)
    assert (one.adapter.weights - both.adapter.weights).abs().min(dim=1).values.max() > 1e-4


def test_sets_of_templates() -> None:
    assert template_set("plain") == ["a photo of a {}."]
    assert len(set(template_set("openai"))) == 80 and "a bad photo of a {}." in template_set("openai")
    assert len(set(template_set("simple"))) == 7 and "itap of a {}." in template_set("simple")
    with pytest.raises(UnknownName, match="did you mean 'openai'"):
        template_set("openaii")


def test_refusals() -> None:
    pair = loaded("open_clip")
    with pytest.raises(EngineError, match=r"template 'a photo' has no \{\}"):
        zero_shot(pair, {"boat": []}, ["a {}", "a photo"])
    with pytest.raises(EngineError, match="at least one class"):
        zero_shot(pair, {})
    with pytest.raises(EngineError, match="and a prompt or a template for each"):
        zero_shot(pair, {"boat": []}, [])
    for name in ("vit_cls", "hf_blip_itm", "hf_vilt_retrieval"):
        with pytest.raises(EngineError, match=f"{name} cannot classify by texts"):
            zero_shot(loaded(name), {"boat": ["0"]})
    classifier, images = zero_shot(pair, GROUPS), zoo.inputs("open_clip")["image"]
    with pytest.raises(UnknownName, match="unknown class 'boats'; did you mean 'boat'"):
        explain(classifier, images, target="class:boats")
    for target in ("clip-logit", "clip-score"):
        with pytest.raises(EngineError, match=f"target '{target}' needs an image-text model"):
            explain(classifier, images, target=target)
