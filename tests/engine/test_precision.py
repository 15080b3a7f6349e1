"""Half precision: float16 beside bfloat16, small gradients that survive it, and devices without it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import model_folders
import oracles
import pytest
import torch
import zoo
import zoo_streams

from engine import explain
from engine.capture import kernel
from engine.errors import EngineError
from engine.models import find_adapter
from engine.models.loading import LoadedModel, load_model
from engine.precision import PRECISIONS
from engine.targets import Class, Output

HALF = ("bf16", "fp16")


def loaded(model, precision):
    return LoadedModel(model, "tiny", find_adapter(model), None, None, None, precision)


def ranks(values):
    return values.argsort().argsort().double()


def least_correlation(found, wanted):
    """Spearman's rank correlation, the worst of all maps."""
    return min(
        float(torch.corrcoef(torch.stack([ranks(a), ranks(b)]))[0, 1]) for a, b in zip(found, wanted, strict=True)
    )


@dataclass(frozen=True)
class Faint(Class):
    """A score so small that float16 can hardly hold its gradient."""

    def score(self, output: Output) -> torch.Tensor:
        return super().score(output).float() * 1e-6


@pytest.mark.parametrize("engine", ["stream", "record"])
@pytest.mark.parametrize("precision", HALF)
def test_maps_rank_like_those_in_float32(precision, engine):
    model, images = zoo.build("vit_cls"), zoo.inputs("vit_cls")
    full = explain(model, images, target=1).relevancy["image"]
    half = explain(loaded(model, precision), images, target=1, engine=engine).relevancy["image"]
    assert half.dtype == torch.float32 and not torch.equal(half, full)
    assert least_correlation(half, full) > 0.99
    bound = 0.1 if precision == "bf16" else 0.01  # 8 and 11 significant bits, through three layers
    assert (half - full).abs().max() < bound * full.abs().max()


@pytest.mark.parametrize("name", ["hf_bert", "open_clip", "swin", "hf_blip_itm", "vit_map_pool"])
def test_float16_in_families_that_read_otherwise(name):
    model, data = zoo.build(name), zoo.inputs(name)
    full, half = explain(model, data).relevancy, explain(loaded(model, "fp16"), data).relevancy
    for modality, wanted in full.items():
        assert (half[modality] - wanted).abs().max() < 0.05 * wanted.abs().max()


def test_float16_where_the_model_writes_attention_out():
    model, data = zoo_streams.build("visual_bert"), zoo_streams.questions()
    full, half = explain(model, data).relevancy, explain(loaded(model, "fp16"), data).relevancy
    for modality, wanted in full.items():
        assert (half[modality] - wanted).abs().max() < 0.05 * wanted.abs().max()


@pytest.mark.parametrize("engine", ["stream", "record"])
def test_small_gradients_survive_float16_thanks_to_the_gain(engine, monkeypatch):
    model, images = zoo.build("vit_avg"), zoo.inputs("vit_avg")
    full = explain(model, images, target=Faint(1)).relevancy["image"]
    half = explain(loaded(model, "fp16"), images, target=Faint(1), engine=engine).relevancy["image"]
    assert (half - full).abs().max() < 0.02 * full.abs().max()
    monkeypatch.setitem(PRECISIONS, "fp16", replace(PRECISIONS["fp16"], gain=1.0))
    without = explain(loaded(model, "fp16"), images, target=Faint(1), engine=engine).relevancy["image"]
    assert (without - full).abs().max() > 0.1 * full.abs().max()


def test_folds_see_no_gain_and_gradients_keep_it():
    torch.manual_seed(0)
    q, k, v, d_out = (torch.randn(2, 2, 5, 3, dtype=torch.float64) for _ in range(4))
    operands, seen = kernel.AttentionOperands(q, k, v, 0.7, None), {}
    plain = kernel.fold_backward(operands, d_out, lambda s, b: seen.update(plain=b.gradient.clone()), True)
    with_gain = kernel.fold_backward(
        operands, d_out * 256, lambda s, b: seen.update(gain=b.gradient.clone()), True, gain=256
    )
    assert torch.equal(seen["plain"], seen["gain"])
    assert torch.equal(
        seen["plain"][0, 1], torch.from_numpy(oracles.attention_map_gradient(d_out[0, 1].numpy(), v[0, 1].numpy()))
    )
    for one, two in zip(plain, with_gain, strict=True):
        torch.testing.assert_close(two, one * 256, rtol=1e-12, atol=1e-12)


def test_gains_are_powers_of_two():
    assert all(precision.gain.hex().startswith("0x1.0000000000000p") for precision in PRECISIONS.values())


@pytest.mark.parametrize("precision", HALF)
def test_a_device_without_half_precision_is_refused(tmp_path, precision):
    with pytest.raises(EngineError, match=f"precision '{precision}' is not available on device 'meta': use fp32"):
        load_model(str(model_folders.timm_folder(tmp_path / "vit")), device="meta", precision=precision)
    assert load_model(str(tmp_path / "vit"), precision=precision).precision == precision
