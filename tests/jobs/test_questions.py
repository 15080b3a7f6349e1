"""Questions about pictures, answered from region features: whole runs, and everything a sample can lack."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from jobs.cli import main
from jobs.errors import JobError
from jobs.run import RunResult, run_audit
from jobs.spec import RunSpec
from storage import RunReader, Store
from tests.jobs.conftest import noise
from tests.model_folders import REGION_WIDTH, lxmert_folder, visual_bert_folder

Audit = Callable[..., tuple[RunResult, RunReader]]
QUESTION = "what is on the sea ?"


@pytest.fixture(scope="module")
def lxmert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"hf:{lxmert_folder(tmp_path_factory.mktemp('models') / 'lxmert')}"


@pytest.fixture(scope="module")
def visual_bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"hf:{visual_bert_folder(tmp_path_factory.mktemp('models') / 'visual_bert')}"


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    def run(rows: list[dict[str, Any]], model: str, **options: Any) -> tuple[RunResult, RunReader]:
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        given = {"workers": 0, "device": "cpu", **options}
        result = run_audit(RunSpec(data=str(path), model=model, store=str(tmp_path / "store"), **given))
        return result, Store.open(result.store).reader(result.run)

    return run


def regions(folder: Path, name: str, count: int = 4, width: int = REGION_WIDTH, **changes: Any) -> str:
    """An .npz with region features and boxes as fractions."""
    rng = np.random.default_rng(count)
    boxes = np.concatenate([rng.random((count, 2)) * 0.5, 0.5 + rng.random((count, 2)) * 0.5], axis=1)
    np.savez(folder / name, **{"features": rng.normal(size=(count, width)), "boxes": boxes, **changes})
    return name


def failures(reader: RunReader) -> dict[int, str]:
    return {row["sample_id"]: row["reason"] for row in reader.query("SELECT sample_id, reason FROM failures")}


@pytest.mark.parametrize("workers", [0, 2])
def test_one_bad_sample_costs_no_other(audit: Audit, lxmert: str, tmp_path: Path, workers: int) -> None:
    noise(tmp_path / "a.png", 0, (40, 60))
    nan = np.full((4, REGION_WIDTH), np.nan)
    good = {"image": "a.png", "text": QUESTION, "features": regions(tmp_path, "good.npz")}
    rows = [
        good,
        {**good, "text": "what is this " * 5},
        {**good, "text": "1", "features": regions(tmp_path, "wide.npz", width=12)},
        {**good, "text": "2", "features": regions(tmp_path, "nan.npz", features=nan)},
        {**good, "text": "3", "features": regions(tmp_path, "odd.npz", boxes=np.ones((3, 4)))},
        {**good, "text": "4", "features": "none.npz"},
        {**good, "text": None},
        {**good, "text": "5", "features": None},
        {**good, "text": "6", "image": "none.png", "features": regions(tmp_path, "more.npz", 7)},
        {"text": "7", "features": "more.npz"},
        good,
    ]
    result, reader = audit(rows, lxmert, workers=workers, batch_size=4)
    assert failures(reader) == {
        1: "the question has 17 tokens, the model reads 12",
        2: f"features are 12 wide, the model reads {REGION_WIDTH}",
        3: "features are not finite (NaN or infinity)",
        4: "4 features but 3 boxes",
        5: "features file not found",
        6: "no text",
        7: "no features",
        10: "repeats the image and text of row 1",
    }
    assert result.remarks == {"picture of region features cannot be shown: file not found": 1}
    samples = {row["sample_id"]: row for row in reader.query("SELECT * FROM samples")}
    assert [(i, row["uri"], row["width"], len(row["regions"])) for i, row in sorted(samples.items())] == [
        (0, "a.png", 60, 16),
        (8, "none.png", None, 28),
        (9, "row 10", None, 28),
    ]
    files = [(samples[i]["file_format"], samples[i]["file_bytes"]) for i in (0, 8)]  # looked at, but not decoded
    assert files == [("PNG", (tmp_path / "a.png").stat().st_size), (None, None)]
    assert {samples[i]["brightness"] for i in samples} == {None}
    maps = reader.maps([(0, "answer"), (8, "answer")], "image")
    assert len(maps[0, "answer"]) == 4 and len(maps[8, "answer"]) == 7 and maps[8, "answer"].any()


def test_workers_read_parquet_and_hdf5(visual_bert: str, tmp_path: Path) -> None:
    """Both libraries have threads of their own, which a forked worker does not inherit."""
    rng = np.random.default_rng(0)
    vectors = [rng.normal(size=(3, REGION_WIDTH)).astype(np.float32) for _ in range(20)]
    boxes = np.array([[0, 0, 1, 1], [0, 0, 0.5, 0.5], [0.2, 0.3, 0.4, 1]])
    texts = [f"{QUESTION} {i}" for i in range(20)]
    columns = {"text": texts, "features": [v.tolist() for v in vectors], "boxes": [boxes.tolist()] * 20}
    pq.write_table(pa.table(columns), tmp_path / "inline.parquet", row_group_size=6)
    with h5py.File(tmp_path / "all.h5", "w") as file:
        for i, values in enumerate(vectors):
            file[f"q/{i}/features"], file[f"q/{i}/boxes"] = values, boxes
    rows = [{"text": text, "features": f"all.h5#q/{i}"} for i, text in enumerate(texts)]
    (tmp_path / "hdf5.jsonl").write_text("\n".join(map(json.dumps, rows)))
    maps = []
    for name in ("inline.parquet", "hdf5.jsonl"):
        spec = RunSpec(str(tmp_path / name), visual_bert, store=str(tmp_path / "store"), workers=2, batch_size=4)
        result = run_audit(spec)
        assert (result.explained, result.failed) == (20, 0)
        with Store.open(result.store).reader(result.run) as reader:
            maps.append(reader.maps([(i, "answer") for i in range(20)], "image"))
    assert all(np.allclose(maps[0][key], maps[1][key]) for key in maps[0]) and len(maps[0]) == 20


def test_answers_as_labels_and_targets(audit: Audit, visual_bert: str, tmp_path: Path) -> None:
    rows = [
        {"text": f"{QUESTION} {i}", "features": regions(tmp_path, f"{i}.npz", 3 + i), "label": label}
        for i, label in enumerate(["red", "BOAT", "zebra", None])
    ]
    result, reader = audit(rows, visual_bert, target="both")
    assert (result.explained, result.labelled) == (4, 2)
    stored = reader.query("SELECT * FROM explanations WHERE modality = 'text' ORDER BY sample_id, target")
    assert [(row["sample_id"], row["target"]) for row in stored if row["target"] == "label"] == [
        (0, "label"),
        (1, "label"),
    ]
    assert {row["target"] for row in stored} == {"answer", "label"}
    assert [row["target_index"] for row in stored if row["target"] == "label"] == [2, 5]
    summaries = reader.query("SELECT * FROM explanations WHERE modality = 'image' AND target = 'answer'")
    assert all(0 <= row["center_x"] <= 1 and 0 <= row["entropy"] <= 1 and row["mass"] > 0 for row in summaries)
    assert all(row["border_share"] is None and row["predicted"] for row in summaries)


def test_pixel_boxes_need_the_size_of_the_picture(audit: Audit, visual_bert: str, tmp_path: Path) -> None:
    noise(tmp_path / "a.png", 0, (40, 60))
    pixels = np.array([[0, 0, 30, 20], [30, 10, 60, 40]])
    two = np.ones((2, REGION_WIDTH))
    name = regions(tmp_path, "pixels.npz", features=two, boxes=pixels)
    _, reader = audit([{"image": "a.png", "text": "1", "features": name}, {"text": "2", "features": name}], visual_bert)
    assert reader.query("SELECT regions FROM samples") == [{"regions": [0, 0, 0.5, 0.5, 0.5, 0.25, 1, 1]}]
    assert "boxes are in pixels" in failures(reader)[1]


def test_zero_rows_are_counted_and_the_choice_is_recorded(audit: Audit, lxmert: str, tmp_path: Path) -> None:
    """A constant answer has no gradient: every normalisation meets rows of zeros, which is NaN in the authors' code."""
    from transformers import LxmertForQuestionAnswering

    folder = lxmert_folder(tmp_path / "flat")
    model = LxmertForQuestionAnswering.from_pretrained(folder)
    with torch.no_grad():
        for parameter in model.answer_head.parameters():
            parameter.zero_()
    model.save_pretrained(folder)
    rows = [{"text": QUESTION, "features": regions(tmp_path, "a.npz")}]
    with_nan, reader = audit(rows, f"hf:{folder}")
    assert "a row of zeros was normalised; --on-zero-row identity" in failures(reader)[0]
    identity, reader = audit(rows, f"hf:{folder}", on_zero_row="identity")
    assert identity.run != with_nan.run and identity.explained == 1
    assert identity.zero_rows == {"explanations": 1, "met": 1}
    assert reader.record.spec["on_zero_row"] == "identity"
    assert {row["zero_rows"] > 0 for row in reader.query("SELECT zero_rows FROM explanations")} == {True}
    usual, reader = audit(rows, lxmert)
    assert usual.zero_rows == {"explanations": 1, "met": 0} and reader.record.spec["on_zero_row"] == "authors"


def test_status_says_how_often_zero_rows_mattered(
    audit: Audit, lxmert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": QUESTION, "features": regions(tmp_path, "a.npz")}]
    result, _ = audit(rows, lxmert)
    assert main(["status", "--store", result.store, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["zero_rows"] == {"explanations": 1, "met": 0}


def test_what_the_data_must_bring_along(audit: Audit, visual_bert: str, tmp_path: Path) -> None:
    noise(tmp_path / "a.png", 0)
    with pytest.raises(JobError, match=r"answers questions about pictures: give a manifest with a column 'text'"):
        audit([{"image": "a.png"}], visual_bert)
    with pytest.raises(JobError, match=r"reads region features: .* \(python -m jobs features makes one\)"):
        audit([{"image": "a.png", "text": QUESTION}], visual_bert)
    with pytest.raises(JobError, match="target 'detections' is not supported by"):
        audit([{"text": QUESTION, "features": regions(tmp_path, "a.npz")}], visual_bert, target="detections")


def test_boxes_of_objects_are_said_to_be_unused(audit: Audit, visual_bert: str, tmp_path: Path) -> None:
    row = {"text": QUESTION, "features": regions(tmp_path, "a.npz"), "boxes": [[0, 0, 1, 1]]}
    result, _ = audit([row], visual_bert)
    assert any("column 'boxes' is not used" in warning for warning in result.warnings)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--on-zero-row", "identiti"], "unknown --on-zero-row 'identiti'; did you mean identity?"),
        (["--threshold", "1.5"], "--threshold 1.5: a probability, 0 to 1"),
        (["--max-detections", "0"], "--max-detections 0: must be at least 1"),
        (["--threshold", "0.5"], "--threshold is for detectors;"),
        (["--max-detections", "5"], "--max-detections is for detectors;"),
    ],
)
def test_wrong_options_are_one_line(
    options: list[str], said: str, visual_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": "x", "features": regions(tmp_path, "a.npz")}))
    store = str(tmp_path / "store")
    arguments = ["run", "--data", str(tmp_path / "rows.jsonl"), "--model", visual_bert, "--store", store, *options]
    assert main(arguments) == 2
    *before, last = capsys.readouterr().err.splitlines()
    assert said in last and not any("error" in line.lower() for line in before)  # transformers shows a progress bar


@pytest.mark.parametrize("method", ["lrp", "legrad"])
def test_a_method_that_the_model_refuses_leaves_no_run(
    method: str, visual_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    regions(tmp_path, "a.npz")
    noise(tmp_path / "a.png", 0, (40, 60))
    (tmp_path / "rows.jsonl").write_text(json.dumps({"image": "a.png", "text": QUESTION, "features": "a.npz"}))
    store = tmp_path / "store"
    options = ["--data", str(tmp_path / "rows.jsonl"), "--model", visual_bert, "--store", str(store), "--workers", "0"]
    assert main(["run", *options, "--method", method]) == 2
    assert "VisualBertForQuestionAnswering" in capsys.readouterr().err
    assert Store.open(store).run_ids() == []


def test_a_start_layer_between_streams_is_refused(lxmert: str, audit: Audit, tmp_path: Path) -> None:
    regions(tmp_path, "a.npz")
    noise(tmp_path / "a.png", 0, (40, 60))
    row = {"image": "a.png", "text": QUESTION, "features": "a.npz"}
    with pytest.raises(JobError, match="look at each other, so all layers take part"):
        audit([row], lxmert, start_layer=1)
