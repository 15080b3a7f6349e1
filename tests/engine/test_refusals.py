"""Models, names and inputs that cannot be explained get one clear line."""

from __future__ import annotations

import pytest
import timm
import torch
import zoo
from torch import nn

from engine import EngineError, UnknownName, UnsupportedModel, explain
from engine.targets import Output, as_target


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.Linear(2, 2), "Linear is not supported: no adapter knows this class"),
        (lambda: timm.create_model("resnet10t"), "ResNet is not supported"),
        (lambda: timm.create_model("swinv2_cr_tiny_224"), "of the Swin V2 variants only SwinTransformerV2"),
        (lambda: timm.create_model("xcit_nano_12_p16_224"), "channels, not tokens"),
        (lambda: timm.create_model("vit_tiny_patch16_224", num_classes=0), "no classifier"),
        (lambda: timm.create_model("vit_tiny_patch16_224", global_pool="avgmax"), "'avgmax' is not supported"),
        (
            lambda: timm.models.VisionTransformer(
                **zoo.VIT, block_fn=timm.models.vision_transformer.ParallelScalingBlock
            ),
            "block 0 is a ParallelScalingBlock",
        ),
    ],
)
def test_unsupported_models_are_named(build, message):
    with torch.device("meta"):
        model = build()
    with pytest.raises(UnsupportedModel, match=message):
        explain(model, torch.zeros(1, 3, 224, 224))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "gea"}, "unknown method 'gea'; did you mean 'gae'"),
        ({"engine": "strem"}, "unknown engine 'strem'"),
        ({"start_layer": 3}, r"start layer 3 is out of range: the image tower has 3 layers \(0 to 2"),
        ({"start_layer": -4}, "start layer -4 is out of range"),
        ({"target": 5}, "target class 5 is out of range: the model has 5 classes"),
        ({"target": torch.tensor([0, 1])}, "2 target classes were given for 3 samples"),
        ({"target": "clip-score"}, "needs an image-text model"),
        ({"target": "predictet"}, "unknown target 'predictet'; did you mean 'predicted'"),
        ({"target": "class:dog"}, "carries no class names"),
        ({"keep_matrices": True, "engine": "stream"}, "keep_matrices needs engine='record'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(EngineError, match=message):
        explain(zoo.build("vit_cls"), zoo.inputs("vit_cls"), **options)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("vit_cls", {"picture": 1}, r"images must be a tensor \[B, 3, H, W\]"),
        ("vit_cls", torch.zeros(3, 32, 32), r"not \(3, 32, 32\)"),
        ("vit_cls", torch.zeros(0, 3, 32, 32), "at least one sample"),
        ("open_clip", torch.zeros(1, 3, 32, 32), "not one tensor"),
        ("open_clip", {"image": torch.zeros(2, 3, 32, 32), "text": torch.ones(1, 9).long()}, "2 images but 1 texts"),
        ("open_clip", {"image": torch.zeros(1, 3, 32, 32), "text": ["a cat"]}, "but no tokenizer"),
        ("open_clip", {"image": torch.zeros(1, 3, 32, 32)}, "needs texts"),
        ("hf_clip", {"image": torch.zeros(1, 3, 32, 32), "text": torch.full((1, 9), 40)}, "does not belong to this"),
        ("hf_clip", {"image": torch.zeros(1, 3, 32, 32), "text": torch.ones(1, 10).long()}, "has 10 tokens"),
    ],
)
def test_wrong_inputs(name, data, message):
    with pytest.raises(EngineError, match=message):
        explain(zoo.build(name), data)


def test_classifier_targets_on_pairs():
    with pytest.raises(EngineError, match="needs a classifier"):
        explain(zoo.build("open_clip"), zoo.inputs("open_clip"), target="predicted")


def test_target_names_with_class_names():
    names = ["sea, calm", "tree", "12"]
    output = Output(torch.tensor([[1.0, 2.0, 4.0]]))
    assert as_target("class:tree", False, names).score(output) == 2
    assert as_target("class:12", False, names).score(output) == 4  # a name comes before a number
    assert as_target("class:0", False, names).score(output) == 1
    assert as_target("contrast:tree,sea, calm", False, names).score(output) == 1
    assert as_target("contrast:sea, calm,12", False, names).score(output) == -3
    with pytest.raises(UnknownName, match="did you mean 'tree'"):
        as_target("class:three", False, names)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: zoo._coca(attentional_pool="parallel"), "attentional pool 'parallel' is not supported"),
        (lambda: zoo._coca(attentional_pool="cascade"), "attentional pool 'cascade' is not supported"),
        (
            lambda: zoo._open_clip_hf_text(zoo.BertConfig(**zoo.HF_BERT), "max_pooler"),
            "every channel reads another token",
        ),
    ],
)
def test_towers_of_pairs_that_are_refused(build, message):
    with pytest.raises(UnsupportedModel, match=message):
        explain(build(), zoo.inputs("open_clip"))
