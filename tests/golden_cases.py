"""The authors' numbers: files, tolerances, and the models they were made with, rebuilt in today's libraries.

Everything is read from the files, so that another set of the same layout (``GOLDENS_DIR``) tests the same code.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import open_clip
import timm
import torch
from hf_clip_weights import to_hugging_face
from safetensors.torch import load_file
from transformers import (
    CLIPConfig,
    CLIPModel,
    DetrConfig,
    DetrForObjectDetection,
    LxmertConfig,
    LxmertForQuestionAnswering,
    ResNetConfig,
    VisualBertConfig,
    VisualBertForQuestionAnswering,
)
from transformers.models.visual_bert.modeling_visual_bert import VisualBertPredictionHeadTransform

GOLDENS = Path(os.environ.get("GOLDENS_DIR", Path(__file__).parent / "goldens"))
TOLERANCE = {"f32": 5e-5, "f64": 1e-9}
LRP_TOLERANCE = 1e-7  # float64; in float32 the authors' own results are only good to what the JSON says
DTYPE = {"f32": torch.float32, "f64": torch.float64}


@cache
def case(name):
    meta = json.loads((GOLDENS / f"{name}.json").read_text())
    return meta, load_file(GOLDENS / f"{name}.safetensors")


def tensors(name):
    return case(name)[1]


def tolerance(name, method, precision):
    """The house's tolerance, or the authors' own error in float32 where that is larger (heavy cancellation)."""
    if precision == "f64":
        return TOLERANCE["f64"]
    own = case(name)[0]["f32_vs_f64_max_relative_to_peak"].get(method, 0.0)
    return max(TOLERANCE["f32"], own)


def truth(name, method, precision):
    """Whose numbers judge: the authors' own float64 where their float32 is further from it than the house's tolerance.

    There two float32 results may both be right and twice that error apart, as the order of sums depends on the CPU.
    """
    return "f64" if precision == "f32" and tolerance(name, method, precision) > TOLERANCE["f32"] else precision


def assert_close(actual, expected, tolerance):
    actual, expected = actual.detach().double(), expected.double()  # the difference itself must lose nothing
    assert actual.shape == expected.shape
    assert torch.equal(actual.isnan(), expected.isnan()), "NaN stands in other places than in the reference"
    valid = ~expected.isnan()
    if not valid.any():
        return
    peak = expected[valid].abs().max()
    if peak == 0:
        assert (actual[valid] == 0).all(), "the reference is exactly zero"
        return
    error = (actual - expected)[valid].abs().max() / peak
    assert error <= tolerance, f"relative error {error:.2e}, tolerance {tolerance:.0e}"


def weights(name):
    return {k.removeprefix("weights/"): v for k, v in tensors(name).items() if k.startswith("weights/")}


def floats(inputs, precision):
    return {k: v.to(DTYPE[precision]) if v.is_floating_point() else v for k, v in inputs.items()}


@cache
def vit(precision):
    meta = case("vit_model")[0]
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, **meta["timm_kwargs"]).eval()
    model.load_state_dict(weights("vit_model"), strict=True)
    return model.to(DTYPE[precision]), tensors("vit_model")["input/images"].to(DTYPE[precision])


@cache
def clip(library, precision):
    meta = case("clip_model")[0]
    if library == "open_clip":
        config = meta["open_clip"]
        model = open_clip.model.CLIP(
            config["embed_dim"],
            open_clip.CLIPVisionCfg(**config["vision"]),
            open_clip.CLIPTextCfg(**config["text"]),
            quick_gelu=config["quick_gelu"],
        )
        model.load_state_dict(weights("clip_model"), strict=True)
    else:
        config = meta["hf"]
        model = CLIPModel(
            CLIPConfig(
                text_config=config["text_config"],
                vision_config=config["vision_config"],
                projection_dim=config["projection_dim"],
            )
        )
        model.load_state_dict(to_hugging_face(weights("clip_model")), strict=True)
    return model.eval().to(DTYPE[precision])


@cache
def pairs(precision):
    images = tensors("clip_model")["input/images"].to(DTYPE[precision])
    texts = tensors("clip_model")["input/texts"]
    return {"image": images.repeat_interleave(texts.shape[1], dim=0), "text": texts.flatten(0, 1)}


@cache
def lxmert(precision):
    model = LxmertForQuestionAnswering(LxmertConfig(**case("lxmert_model")[0]["config"])).eval()
    model.load_state_dict(weights("lxmert_model"), strict=True)
    return model.to(DTYPE[precision])


@cache
def detr(precision):
    meta = case("detr_model")[0]
    backbone = ResNetConfig(**meta["backbone_config"])
    config = DetrConfig(use_timm_backbone=meta["use_timm_backbone"], backbone_config=backbone, **meta["detr_config"])
    model = DetrForObjectDetection(config).eval()
    found = model.load_state_dict(weights("detr_model"), strict=False)
    assert not found.unexpected_keys
    assert all(key.endswith("num_batches_tracked") for key in found.missing_keys)
    return model.to(DTYPE[precision])


@cache
def visual_bert(head, precision):
    """``head``: "hf" (the public class) or "mmf" (the two-stage classifier of the authors' fine-tuned model)."""
    name = f"visualbert_model_{head}_head"
    config = VisualBertConfig(**case(name)[0]["config"])
    model = VisualBertForQuestionAnswering(config)
    if head == "mmf":
        classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
        model.cls = torch.nn.Sequential(VisualBertPredictionHeadTransform(config), classifier)
    model.load_state_dict(weights(name), strict=True)
    return model.eval().to(DTYPE[precision])


def samples(name):
    """Indices of the samples of a question answering case."""
    return sorted({int(k.split("/")[1][1:]) for k in tensors(name) if k.startswith("input/s")})


def question(name, sample, precision):
    """Inputs of one sample of a question answering case, under the library's own names."""
    prefix = f"input/s{sample}/"
    found = {k.removeprefix(prefix): v for k, v in tensors(name).items() if k.startswith(prefix)}
    if "visual_embeds" in found:  # the authors' code has zeros where the public class defaults to ones
        found["visual_token_type_ids"] = torch.zeros(found["visual_embeds"].shape[:2], dtype=torch.long)
    return floats(found, precision)


def explained(name):
    """(sample, column of input/targets, class) of every explained score of a question answering case."""
    targets = tensors(name)["input/targets"]
    return [(s, t, int(targets[s, t])) for s in samples(name) for t in range(targets.shape[1])]


def stored(name, precision, method, sample, column):
    """Name -> tensor of one method's result for one score; class-agnostic results are stored once per sample."""
    own, shared = f"{precision}/{method}/s{sample}t{column}", f"{precision}/{method}/s{sample}"
    found = {}
    for key, tensor in tensors(name).items():
        for prefix in (own, shared):
            if key == prefix or key.startswith(f"{prefix}/"):
                found[key.removeprefix(prefix).strip("/")] = tensor
    assert found, f"no {method} for sample {sample} in {name}"
    return found
