"""Costs follow from the figures by division alone, and the simulated store is one that can be asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scaling_costs import RESULTS, cpu_rows, gpu_rows
from benchmarks.scaling_store import rule, segments


def test_hours_and_cost_of_what_was_measured(tmp_path: Path) -> None:
    def put(name: str, rows: list[dict[str, Any]]) -> None:
        (tmp_path / name).write_text(json.dumps({"machine": {"cores": 2, "cpu": "C", "gpu": None}, "rows": rows}))

    put("job.json", [{"section": "engine", "engine_per_s": 10.0, "job_over_engine": 0.5}, {"section": "growth"}])
    picture = {"model": "m", "image_size": 224, "variant": "stream"}
    put("engine.json", [{**picture, "batch": 1, "ms_per_sample": 36}, {**picture, "batch": 8, "ms_per_sample": 18}])
    put("engine_large.json", [{**picture, "batch": 1, "variant": "record", "ms_per_sample": 1}])
    put("pairs.json", [{**picture, "variant": "ours", "batch": 4, "pictures": 4, "ms_per_pair": 7.2}])
    whole, best, pair = cpu_rows(tmp_path, price=3.0)
    assert whole["hours_per_million"] == pytest.approx(1e6 / 5 / 3600, abs=0.01)  # 5 samples a second
    assert best["hours_per_million"] == pytest.approx(10) and best["cost_per_million"] == pytest.approx(30)
    assert pair["hours_per_million"] == pytest.approx(4)


@pytest.mark.parametrize(("gpus", "hours"), [(1, 2.0), (8, 0.25)])
def test_more_gpus_cost_the_same_in_less_time(gpus: int, hours: float) -> None:
    rows = [
        {"section": "models", "model": "m", "way": "stream", "samples_per_s": 1e6 / 3600},
        {"section": "models", "model": "m", "way": "forward", "samples_per_s": 1e9},
        {"section": "job", "job_over_engine": 0.5},
    ]
    document = {"machine": {"gpu": "G"}, "device": "cuda", "precision": "bf16", "rows": rows}
    (row,) = gpu_rows(document, 4.0, gpus)
    assert row["hours_per_million"] == hours and row["cost_per_million"] == 8.0


def test_the_gpu_that_was_measured_has_its_rows() -> None:
    document = json.loads((RESULTS / "gpu.json").read_text())
    rows = list(gpu_rows(document, 1.0))
    assert [row["model"] for row in rows] == ["ViT-B/16 224", "ViT-L/14 336", "CLIP L/14"]


def test_a_store_in_segments_answers_as_one_in_a_single_segment(tmp_path: Path) -> None:
    rows = list(segments(tmp_path, [1, 3]))  # counts, and means from sums and maps, are compared inside
    assert [(row["segments"], row["samples"]) for row in rows] == [(1, 256), (3, 768), (1, 768)]


def test_the_segments_of_a_job_grow_more_slowly_than_its_samples() -> None:
    counts = {(row["part_size"], row["samples"]): row["segments"] for row in rule()}
    assert counts[256, 10**7] < 2 * 10**7 / 128 / 256 / 2  # fewer than half of one per 128 parts
    assert 1000 <= counts[4096, 10**9] < 2000  # a segment holds at most a million samples, a whole number of parts
