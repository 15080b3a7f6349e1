"""The authors' numbers: ViT and CLIP, both engines, float32 and float64, three libraries."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import open_clip
import oracles
import pytest
import timm
import torch
from hf_clip_weights import to_hugging_face
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPModel

from engine import explain

GOLDENS = Path(os.environ.get("GOLDENS_DIR", Path(__file__).parent / "goldens"))
TOLERANCE = {"f32": 5e-5, "f64": 1e-9}
DTYPE = {"f32": torch.float32, "f64": torch.float64}


@cache
def case(name):
    meta = json.loads((GOLDENS / f"{name}.json").read_text())
    return meta, load_file(GOLDENS / f"{name}.safetensors")


def assert_close(actual, expected, tolerance):
    assert torch.equal(actual.isnan(), expected.isnan()), "NaN stands in other places than in the reference"
    valid = ~expected.isnan()
    if valid.any():
        error = (actual - expected)[valid].abs().max() / expected[valid].abs().max()
        assert error <= tolerance, f"relative error {error:.2e}, tolerance {tolerance:.0e}"


def weights(tensors):
    return {k.removeprefix("weights/"): v for k, v in tensors.items() if k.startswith("weights/")}


@cache
def vit(precision):
    meta, tensors = case("vit_model")
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, **meta["timm_kwargs"]).eval()
    model.load_state_dict(weights(tensors), strict=True)
    return model.to(DTYPE[precision]), tensors["input/images"].to(DTYPE[precision])


@pytest.mark.parametrize("engine", ["stream", "record"])
@pytest.mark.parametrize("precision", ["f32", "f64"])
class TestViT:
    def targets(self):
        targets = case("vit_model")[1]["input/targets"]
        return [(t, targets[:, t]) for t in range(targets.shape[1])]

    def test_vit_gae(self, precision, engine):
        model, images = vit(precision)
        for t, target in self.targets():
            result = explain(model, images, target=target, engine=engine).relevancy["image"]
            assert_close(result, case("vit_model")[1][f"{precision}/gae"][:, t], TOLERANCE[precision])

    def test_vit_grad_cam(self, precision, engine):
        model, images = vit(precision)
        meta, tensors = case("vit_model")
        own = meta["f32_vs_f64_max_relative_to_peak"]["attn_gradcam"] if precision == "f32" else 0.0
        for t, target in self.targets():
            result = explain(model, images, target=target, method="grad_cam", engine=engine).relevancy["image"]
            assert_close(result, tensors[f"{precision}/attn_gradcam"][:, t], max(TOLERANCE[precision], own))

    @pytest.mark.parametrize(
        ("method", "key", "start"),
        [("rollout", "rollout_start0", 0), ("rollout", "rollout_start1", 1), ("raw_attention", "raw_attn", 0)],
    )
    def test_vit_class_agnostic(self, precision, engine, method, key, start):
        model, images = vit(precision)
        result = explain(model, images, method=method, start_layer=start, engine=engine).relevancy["image"]
        assert_close(result, case("vit_model")[1][f"{precision}/{key}"], TOLERANCE[precision])


@pytest.mark.parametrize("precision", ["f32", "f64"])
def test_vit_full_matrix(precision):
    model, images = vit(precision)
    for t, target in TestViT().targets():
        matrix = explain(model, images, target=target, keep_matrices=True).matrices["image", "image"]
        assert_close(matrix, case("vit_model")[1][f"{precision}/gae_full_R"][:, t], TOLERANCE[precision])


def test_vit_grad_cam_before_min_max():
    from engine.methods import GradCAM

    model, images = vit("f64")
    for t, target in TestViT().targets():
        result = explain(model, images, target=target, method=GradCAM(minmax=False)).relevancy["image"]
        assert_close(result, case("vit_model")[1]["f64/attn_gradcam_unnormalised"][:, t], TOLERANCE["f64"])


@cache
def clip(library, precision):
    meta, tensors = case("clip_model")
    if library == "open_clip":
        config = meta["open_clip"]
        model = open_clip.model.CLIP(
            config["embed_dim"],
            open_clip.CLIPVisionCfg(**config["vision"]),
            open_clip.CLIPTextCfg(**config["text"]),
            quick_gelu=config["quick_gelu"],
        )
        model.load_state_dict(weights(tensors), strict=True)
    else:
        config = meta["hf"]
        model = CLIPModel(
            CLIPConfig(
                text_config=config["text_config"],
                vision_config=config["vision_config"],
                projection_dim=config["projection_dim"],
            )
        )
        model.load_state_dict(to_hugging_face(weights(tensors)), strict=True)
    return model.eval().to(DTYPE[precision])


@cache
def pairs(precision):
    tensors = case("clip_model")[1]
    images, texts = tensors["input/images"].to(DTYPE[precision]), tensors["input/texts"]
    return {"image": images.repeat_interleave(texts.shape[1], dim=0), "text": texts.flatten(0, 1)}


@pytest.mark.parametrize("start", ["last", "all", "from1"])
@pytest.mark.parametrize("engine", ["stream", "record"])
@pytest.mark.parametrize("precision", ["f32", "f64"])
@pytest.mark.parametrize("library", ["open_clip", "transformers"])
def test_clip_gae(library, precision, engine, start):
    tensors = case("clip_model")[1]
    layer = {"last": -1, "all": 0, "from1": 1}[start]
    result = explain(clip(library, precision), pairs(precision), engine=engine, start_layer=layer)
    tolerance = TOLERANCE[precision]
    assert_close(result.relevancy["image"], tensors[f"{precision}/image_{start}"].flatten(0, 1), tolerance)
    assert_close(result.logits, tensors[f"{precision}/logits_per_image"].flatten(), tolerance)
    full = tensors[f"{precision}/text_{start}"].flatten(0, 1)
    ends = pairs(precision)["text"].argmax(dim=1)
    for row, matrix, end in zip(result.relevancy["text"], full, ends, strict=True):
        assert_close(row[1:end], matrix[end, 1:end], tolerance)
        assert row[0] == 0
        assert (row[end:] == 0).all()
    if f"{precision}/text_scores_{start}" in tensors:
        scores = result.relevancy["text"] / result.relevancy["text"].sum(dim=1, keepdim=True)
        assert_close(scores, tensors[f"{precision}/text_scores_{start}"].flatten(0, 1), tolerance)


@pytest.mark.parametrize("precision", ["f32", "f64"])
@pytest.mark.parametrize("library", ["open_clip", "transformers"])
def test_clip_text_matrix(library, precision):
    matrix = explain(clip(library, precision), pairs(precision), keep_matrices=True).matrices["text", "text"]
    assert_close(matrix, case("clip_model")[1][f"{precision}/text_all"].flatten(0, 1), TOLERANCE[precision])


def test_vit_rules_by_the_oracles():
    """The plain second writing reproduces the reference from stored A and dA, so it may judge the engine elsewhere."""
    tensors = case("vit_rules")[1]
    prefixes = sorted({key.split("/")[0] for key in tensors})
    for prefix in prefixes:
        layers = sorted(int(k.split("/")[-1]) for k in tensors if k.startswith(f"{prefix}/A/"))
        maps = [(squeezed(tensors[f"{prefix}/A/{i}"]), squeezed(tensors[f"{prefix}/dA/{i}"])) for i in layers]
        expected = {m: tensors[f"{prefix}/expected/{m}"].numpy() for m in ("gae", "rollout_start0", "raw_attn")}
        np.testing.assert_allclose(oracles.gae_matrix(maps)[0, 1:], expected["gae"], rtol=0, atol=1e-12)
        rollout = oracles.rollout_matrix([a for a, _ in maps])[0, 1:]
        np.testing.assert_allclose(rollout, expected["rollout_start0"], rtol=0, atol=1e-12)
        np.testing.assert_allclose(maps[-1][0].mean(axis=0)[0, 1:], expected["raw_attn"], rtol=0, atol=1e-12)
        start = np.eye(maps[0][0].shape[-1])[0]
        cam = oracles.grad_cam_row(*maps[-1], start, start == 0)[1:]
        np.testing.assert_allclose(cam, tensors[f"{prefix}/expected/attn_gradcam"].numpy(), rtol=0, atol=1e-9)


def squeezed(tensor):
    return tensor.numpy().reshape(tensor.shape[-3:])
