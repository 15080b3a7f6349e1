"""Detectors: every object that is kept becomes a target of its own, with its box."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine import explain_detections, load_model
from jobs.errors import JobError
from jobs.pictures import decode
from jobs.run import RunResult, run_audit
from jobs.spec import RunSpec
from storage import RunReader, Store
from tests.jobs.conftest import noise
from tests.model_folders import detr_folder

SIZES = [(40, 60), (64, 64), (60, 40), (40, 60), (90, 50)]


@pytest.fixture(scope="module")
def detr(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"hf:{detr_folder(tmp_path_factory.mktemp('models') / 'detr')}"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for i, size in enumerate(SIZES):
        noise(folder / f"{i}.png", i, size)
    return folder


def audit(pictures: Path, detr: str, store: Path, **options: Any) -> tuple[RunResult, RunReader]:
    spec = RunSpec(data=str(pictures), model=detr, store=str(store), **{"workers": 0, "device": "cpu", **options})
    result = run_audit(spec)
    return result, Store.open(store).reader(result.run)


def rows(reader: RunReader) -> list[dict[str, Any]]:
    return reader.query("SELECT * FROM explanations ORDER BY sample_id, target")


def test_every_kept_object_is_a_target(pictures: Path, detr: str, tmp_path: Path) -> None:
    result, reader = audit(pictures, detr, tmp_path, threshold=0.5, max_detections=4, batch_size=5)
    assert reader.record.spec["threshold"] == 0.5 and reader.record.spec["max_detections"] == 4
    loaded = load_model(detr)
    assert loaded.preprocess is not None
    stored = rows(reader)
    for i in range(len(SIZES)):
        found = explain_detections(
            loaded, loaded.preprocess(decode(pictures / f"{i}.png"))[None], threshold=0.5, most=4
        )
        own = [row for row in stored if row["sample_id"] == i]
        assert [row["target"] for row in own] == [f"detection:{k}" for k in range(len(found))]
        for row, explanation in zip(own, found, strict=True):
            assert row["confidence"] == pytest.approx(float(explanation.confidence[0]), abs=1e-5)  # type: ignore[index]
            assert row["confidence"] >= 0.5 and row["predicted"] in ("boat", "house", "tree")
            assert row["query"] == int(explanation.query[0]) and len(row["box"]) == 4  # type: ignore[index]
            assert row["correct"] is None and row["zero_rows"] is not None
            assert len(row["top_indices"]) == 3 and max(row["top_indices"]) <= 2  # "no object" is no class
    confidences = {i: [row["confidence"] for row in stored if row["sample_id"] == i] for i in range(len(SIZES))}
    assert all(sure == sorted(sure, reverse=True) for sure in confidences.values())
    assert sum(map(bool, confidences.values())) == result.explained


def test_a_picture_without_detection_says_so(pictures: Path, detr: str, tmp_path: Path) -> None:
    everything, reader = audit(pictures, detr, tmp_path / "all", threshold=0.0, max_detections=1)
    assert everything.explained == len(SIZES)
    best = {row["sample_id"]: row["confidence"] for row in rows(reader)}
    threshold = round(sorted(best.values())[2], 2) + 0.005  # some are above, some below
    result, reader = audit(pictures, detr, tmp_path / "some", threshold=threshold)
    below = [i for i, confidence in best.items() if confidence < threshold]
    assert 0 < len(below) < len(SIZES)
    failures = reader.query("SELECT sample_id, reason FROM failures ORDER BY sample_id")
    assert failures == [{"sample_id": i, "reason": f"no detection above {threshold:g}"} for i in below]
    assert result.explained == len(SIZES) - len(below)
    assert {row["sample_id"] for row in rows(reader)} == set(best) - set(below)


def test_no_detection_at_all(pictures: Path, detr: str, tmp_path: Path) -> None:
    result, _ = audit(pictures, detr, tmp_path, threshold=1.0)
    assert result.explained == 0 and result.failures == [{"reason": "no detection above 1", "n": len(SIZES)}]


def test_the_batch_changes_nothing(pictures: Path, detr: str, tmp_path: Path) -> None:
    options = {"threshold": 0.3, "on_zero_row": "identity"}
    _, together = audit(pictures, detr, tmp_path / "together", batch_size=5, **options)
    _, single = audit(pictures, detr, tmp_path / "single", batch_size=1, **options)
    assert together.record.run_id == single.record.run_id
    one, other = rows(together), rows(single)
    assert [(row["sample_id"], row["target"], row["query"]) for row in one] == [
        (row["sample_id"], row["target"], row["query"]) for row in other
    ]
    keys = [(row["sample_id"], row["target"]) for row in one]
    maps, same = together.maps(keys, "image"), single.maps(keys, "image")
    assert all(maps[key] == pytest.approx(same[key], abs=1e-5, rel=1e-3) for key in keys)
    assert any(values.any() for values in maps.values())


def test_each_picture_has_its_own_grid(pictures: Path, detr: str, tmp_path: Path) -> None:
    _, reader = audit(pictures, detr, tmp_path, threshold=0.0, max_detections=1, batch_size=5)
    samples = reader.query(
        "SELECT sample_id, grid_h, grid_w, view_x0, view_x1, view_y1 FROM samples ORDER BY sample_id"
    )
    # the shorter side becomes 64 pixels, two tokens of 32
    assert [(row["grid_h"], row["grid_w"]) for row in samples] == [(2, 3), (2, 2), (3, 2), (2, 3), (4, 2)]
    assert [row["view_x0"] for row in samples] == [0.0] * 5
    assert [row["view_y1"] for row in samples] == pytest.approx([1, 1, 1, 1, 128 / 115], abs=1e-3)
    maps = reader.maps([(i, "detection:0") for i in range(5)], "image")
    assert [len(maps[i, "detection:0"]) for i in range(5)] == [6, 4, 6, 6, 8]


def test_ids_follow_what_is_kept(pictures: Path, detr: str, tmp_path: Path) -> None:
    usual, _ = audit(pictures, detr, tmp_path)
    same, _ = audit(pictures, detr, tmp_path, threshold=0.7, max_detections=20, target="detections")
    other, _ = audit(pictures, detr, tmp_path, threshold=0.6)
    assert usual.run == same.run != other.run and same.skipped == len(SIZES)


def test_labels_cannot_be_explained(pictures: Path, detr: str, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="it can explain detections"):
        audit(pictures, detr, tmp_path, target="label")
