"""The benchmark measures what it says: every variant runs, and the authors' algorithm and ours give the same maps."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
import timm
import torch
import zoo

from benchmarks import authors, detr, engine, peers, precision
from benchmarks import gpu as gpu_benchmark
from benchmarks.harness import interleaved, median_ratio, peak_megabytes, report
from engine import explain

ROOT = Path(__file__).resolve().parent.parent
VARIANTS = {"forward", "limit", "stream", "record", "authors_batch1", "grad_cam_lib", "captum"}


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=10).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def test_every_vit_variant_runs_and_leaves_the_model_alone(vit, images):
    before = {k: v.clone() for k, v in vit.state_dict().items()}
    variants = engine.vit_variants(vit, images)
    assert variants.keys() >= VARIANTS | {"torchcam_legrad"}
    for work in variants.values():
        work()
    assert all(torch.equal(v, before[k]) for k, v in vit.state_dict().items())


def test_authors_algorithm_equals_the_engine(vit, images):
    expected = explain(vit, images).relevancy["image"]
    torch.testing.assert_close(
        authors.vit_relevancy(vit, images), expected, rtol=1e-4, atol=float(expected.max()) * 1e-5
    )


def test_torchvision_twin_has_the_same_logits(vit, images):
    torch.testing.assert_close(peers.as_torchvision(vit)(images), vit(images), rtol=1e-4, atol=1e-4)


def test_every_pair_variant_runs():
    torch.manual_seed(0)
    vision = open_clip.CLIPVisionCfg(layers=12, width=24, head_width=8, patch_size=32, image_size=224)
    text = open_clip.CLIPTextCfg(context_length=12, vocab_size=50, width=24, heads=3, layers=12)
    model = open_clip.model.CLIP(16, vision, text).eval()
    images, texts = torch.randn(2, 3, 224, 224), torch.randint(1, 49, (2, 12))
    texts[:, -1] = 49
    variants = engine.clip_variants(model, images, texts, (12, 12))
    assert variants.keys() >= VARIANTS | {"stream_last"}
    for work in variants.values():
        work()
    ours = explain(model, {"image": images, "text": texts}).relevancy["image"]
    torch.testing.assert_close(variants["authors_batch1"](), ours, rtol=1e-3, atol=float(ours.max()) * 1e-4)


def test_harness_measures_time_and_memory(tmp_path):
    seconds = interleaved({"short": lambda: sum(range(1000)), "long": lambda: sum(range(100_000))}, rounds=5)
    assert median_ratio(seconds["long"], seconds["short"]) > 5
    assert 90 < peak_megabytes(lambda: torch.ones(25_000_000)) < 200
    document = report("engine", [{"a": 1}], tmp_path / "b.json")
    assert json.loads((tmp_path / "b.json").read_text()) == document
    assert document["versions"]["torch"].startswith("2.14.1")
    assert document["machine"]["cores"] and document["commit"]


def test_detr_rows_are_measured_and_its_variants_agree():
    model = detr.build()
    rows = detr.measure(model, (64, 96), count=2, rounds=1)
    assert [r["variant"] for r in rows] == list(detr.NAMES)
    assert {r["image_tokens"] for r in rows} == {6}
    assert all(r["ms"] > 0 for r in rows)
    works = detr.variants(model, torch.randn(1, 3, 64, 96), 2)
    stream, record, authors_way = (works[name]() for name in ("stream", "record", "authors"))
    for a, b, c in zip(stream, record, authors_way, strict=True):
        scale = float(b.relevancy["image"].max())
        torch.testing.assert_close(a.relevancy["image"], b.relevancy["image"], rtol=0, atol=1e-4 * scale)
        torch.testing.assert_close(c.relevancy["image"], b.relevancy["image"], rtol=0, atol=1e-4 * scale)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_without_a_gpu_the_gpu_benchmark_says_so(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks/gpu.py"])
    assert gpu_benchmark.main() == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "benchmarks/gpu.py needs a CUDA GPU and sees none; --device cpu --tiny tries the script\n"


@pytest.mark.slow
def test_the_gpu_benchmark_runs_on_a_cpu_with_tiny_models(tmp_path):
    command = [sys.executable, "benchmarks/gpu.py", "--device", "cpu", "--tiny", "--rounds", "1"]
    command += ["--json", tmp_path / "gpu.json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert len(done.stdout.splitlines()) == len(rows)
    of = {section: [row for row in rows if row["section"] == section] for section in gpu_benchmark.SECTIONS}
    assert of["rate"][0]["tflops"] > 0
    assert [row["way"] for row in of["models"]] == ["forward", "limit", "stream", "stream_plain"] * 2
    for row in of["models"]:
        assert row["samples_per_s"] > 0 and row["gflop_per_sample"] > 0 and row["share_of_rate"] > 0
    assert of["models"][0]["gflop_per_sample"] < of["models"][1]["gflop_per_sample"]
    assert {row["kernel"] for row in of["kernels"] if "ms" in row} == {"plain", "library"}
    assert "it needs cuda" in of["kernels"][0]["skipped"]
    assert of["job"][0]["samples"] == 4 and of["job"][0]["job_over_engine"] > 0
    assert of["tests"][0]["failed"] == 0 and "skipped" in of["tests"][0]["outcome"]


def test_precision_is_compared_family_by_family():
    rows = precision.random_model("vit_cls", 2)
    assert [row["precision"] for row in rows] == ["bf16", "fp16"]
    assert all(row["maps"] == 2 and row["worst"] > 0.9 and 0 <= row["same_choice"] <= 1 for row in rows)
    assert precision.summary(rows)[1]["model"] == "1 random models (worst: vit_cls)"
    found = explain(*(model_and_images := (zoo.build("vit_cls"), zoo.inputs("vit_cls"))))
    assert precision.correlations(found, explain(*model_and_images)) == pytest.approx([1.0] * 3)
    broken = replace(found, relevancy={"image": found.relevancy["image"] * float("nan")})
    assert precision.correlations(broken, found) == [-1.0] * 3
