"""`features`: what a detector sees becomes a manifest that `run` reads. Real detectors, randomly initialised."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torchvision.models import detection

from engine import load_model
from jobs.cli import main
from jobs.extract.command import extract_features
from jobs.extract.detector import make_detector
from jobs.pictures import decode
from jobs.readers import read_dataset
from jobs.regions import read_regions
from jobs.run import run_audit
from jobs.spec import RunSpec
from storage import Store
from tests import model_folders
from tests.jobs.conftest import noise

SMALLEST = "fasterrcnn_mobilenet_v3_large_320_fpn"


@pytest.fixture(scope="module")
def detr(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"hf:{model_folders.detr_folder(tmp_path_factory.mktemp('models') / 'detr')}"


@pytest.fixture(scope="module")
def torchvision_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict of torchvision's smallest two-stage detector, four classes, made to tell boxes apart."""
    torch.manual_seed(0)
    model = getattr(detection, SMALLEST)(weights=None, weights_backbone=None, num_classes=4)
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            if parameter.dim() == 4:
                parameter.mul_(2)
        model.roi_heads.box_predictor.cls_score.weight.mul_(500)
    path = tmp_path_factory.mktemp("weights") / "detector.pt"
    torch.save(model.state_dict(), path)
    return path


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Three questions about two pictures, one about a broken and one about a missing picture."""
    folder = tmp_path / "data"
    noise(folder / "a.png", 0, (40, 60)), noise(folder / "b.png", 1, (50, 40))
    (folder / "broken.png").write_text("no picture")
    rows = [("a", "what is this ?", 1), ("a", "how many boat ?", 2), ("broken", "is this good ?", 3)]
    rows += [("b", "where is the sea ?", 4), ("none", "what colour ?", 5)]
    lines = [{"image": f"{image}.png", "text": text, "label": "red", "number": n} for image, text, n in rows]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder / "rows.jsonl"


def test_from_pictures_over_features_to_answers(questions: Path, detr: str, tmp_path: Path) -> None:
    out = tmp_path / "other" / "features.parquet"
    found = extract_features(str(questions), detr, str(out), regions=4)
    assert (found.rows, found.failed, found.width) == (3, 2, 24)
    assert found.failures == [
        {"image": "broken.png", "reason": "not a picture"},
        {"image": "none.png", "reason": "file not found"},
    ]
    data = read_dataset(out)
    assert "3 pictures lie outside" in data.notes[0]
    assert data.text.to_pylist() == ["what is this ?", "how many boat ?", "where is the sea ?"]  # type: ignore[union-attr]
    assert data.metadata["number"].to_pylist() == [1, 2, 4]
    assert all((data.root / uri).is_file() for uri in data.uris.to_pylist())

    from transformers import VisualBertConfig, VisualBertForQuestionAnswering

    config = VisualBertConfig(
        **model_folders.BERT,
        num_hidden_layers=2,
        visual_embedding_dim=found.width,
        **model_folders.labels(model_folders.ANSWERS),
    )
    model_folders.enlivened(VisualBertForQuestionAnswering(config)).save_pretrained(tmp_path / "model")
    model_folders.word_tokenizer().save_pretrained(tmp_path / "model")
    spec = RunSpec(data=str(out), model=f"hf:{tmp_path / 'model'}", store=str(tmp_path / "store"), workers=0)
    blind = run_audit(spec)
    assert (blind.explained, blind.remarks) == (
        3,
        {
            "picture of region features cannot be shown: lies outside the folder of the data "
            "(--allow-outside FOLDER lets it be read)": 3
        },
    )
    result = run_audit(replace(spec, allow_outside=(str(questions.parent),)))
    assert (result.explained, result.failed) == (3, 0) and result.run != blind.run
    with Store.open(result.store).reader(result.run) as reader:
        samples = reader.query("SELECT width, height, len(regions) AS n FROM samples ORDER BY sample_id")
        assert [(s["width"], s["height"], s["n"]) for s in samples] == [(60, 40, 16), (60, 40, 16), (40, 50, 16)]
        assert all(
            len(values) == 4 and values.any()
            for values in reader.maps([(0, "answer"), (2, "answer")], "image").values()
        )


def test_detr_regions_are_its_most_confident_queries(questions: Path, detr: str) -> None:
    detector = make_detector(detr, checkpoint=None, device="cpu")
    picture = decode(questions.parent / "a.png")
    found = detector.regions(picture, 3)
    loaded = load_model(detr)
    assert loaded.preprocess is not None
    with torch.no_grad():
        out = loaded.model(pixel_values=loaded.preprocess(picture)[None])
    sure = out.logits[0].softmax(1)[:, :-1].amax(1).numpy()
    best = np.argsort(-sure)[:3]
    assert np.allclose(found.confidence, sure[best], atol=1e-6)
    assert np.allclose(found.features, out.last_hidden_state[0, best.copy()].numpy(), atol=1e-6)
    centre = out.pred_boxes[0, best.copy()].numpy()
    assert np.allclose((found.boxes[:, 0] + found.boxes[:, 2]) / 2, centre[:, 0], atol=1e-5)
    assert len(detector.regions(picture, 99).boxes) == 6  # there are no more queries


def test_torchvision_box_head(questions: Path, torchvision_weights: Path, tmp_path: Path) -> None:
    detector = make_detector(f"torchvision:{SMALLEST}", checkpoint=str(torchvision_weights), device="cpu")
    assert detector.width == 1024
    found = detector.regions(decode(questions.parent / "a.png"), 7)
    assert found.features.shape == (7, 1024) and found.boxes.shape == (7, 4)
    assert (np.diff(found.confidence) <= 0).all() and np.ptp(found.confidence) > 1e-3
    assert found.boxes.min() >= 0 and found.boxes.max() <= 1 and (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    assert np.isfinite(found.features).all() and len(np.unique(found.features, axis=0)) > 1
    overlaps = [_overlap(a, b) for i, a in enumerate(found.boxes) for b in found.boxes[:i]]
    assert max(overlaps) <= 0.5 + 1e-6


def test_torchvision_agrees_with_its_own_post_processing(questions: Path, torchvision_weights: Path) -> None:
    """The most confident region is the model's own best detection (which suppresses per class, ours over all)."""
    detector = make_detector(f"torchvision:{SMALLEST}", checkpoint=str(torchvision_weights), device="cpu")
    picture = decode(questions.parent / "b.png")
    best = detector.regions(picture, 1)
    from torchvision.transforms.functional import to_tensor

    with torch.no_grad():
        own = detector.model([to_tensor(picture)])[0]  # type: ignore[attr-defined]
    assert best.confidence[0] == pytest.approx(float(own["scores"][0]), abs=1e-5)
    assert np.allclose(best.boxes[0] * [40, 50, 40, 50], own["boxes"][0].numpy(), atol=0.05)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(sides.clip(0).prod())
    return shared / float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared)


COMMAND = """
import sys
from pathlib import Path
from jobs.extract.command import extract_features
from jobs.pipeline.progress import Reporter

class Saying(Reporter):
    def update(self, tally):
        print(tally.explained + tally.failed, flush=True)

extract_features(sys.argv[1], sys.argv[2], sys.argv[3], regions=2, reporter=Saying())
"""


def many(folder: Path, count: int) -> Path:
    """A manifest of `count` questions about different pictures."""
    for i in range(count):
        noise(folder / f"{i}.png", i, (32, 32))
    rows = [{"image": f"{i}.png", "text": f"question {i}"} for i in range(count)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "rows.jsonl"


def test_a_killed_command_goes_on_and_an_old_manifest_stays(tmp_path: Path, detr: str) -> None:
    data = many(tmp_path / "data", 150)
    out, whole = tmp_path / "out.parquet", tmp_path / "whole.parquet"
    extract_features(str(data), detr, str(out), regions=3, limit=2)
    old = out.read_bytes()
    command = [sys.executable, "-c", COMMAND, str(data), detr, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "32"
        process.kill()
    assert process.wait() == -signal.SIGKILL
    assert out.read_bytes() == old
    again = extract_features(str(data), detr, str(out), regions=2)
    assert 32 <= again.resumed < 150 and (again.rows, again.failed) == (150, 0)
    extract_features(str(data), detr, str(whole), regions=2)
    one, other = (pq.read_table(path) for path in (out, whole))
    assert one["text"].equals(other["text"]) and one["image"].equals(other["image"])
    for name in ("features", "boxes"):  # not bit for bit: another process may have summed in another order
        assert np.allclose(one[name].to_pylist(), other[name].to_pylist(), atol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out.parquet", "whole.parquet"]
    third = extract_features(str(data), detr, str(out), regions=2)
    assert third.resumed == 150
    assert extract_features(str(data), detr, str(out), regions=1).resumed == 0  # other numbers: made anew


def test_every_row_group_is_read_back(tmp_path: Path, detr: str) -> None:
    for i in range(3):
        noise(tmp_path / f"{i}.png", i, (32, 32))
    rows = [{"image": f"{i % 3}.png", "text": f"question {i}"} for i in range(70)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "out.parquet"
    extract_features(str(tmp_path / "rows.jsonl"), detr, str(out), regions=2)
    assert pq.ParquetFile(out).num_row_groups == 3
    one, other = (read_regions(tmp_path, f"out.parquet#{row}", 24, None) for row in (0, 69))
    assert (one.features == other.features).all() and (one.boxes == other.boxes).all()  # the same picture


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--detector", "fasterrcnn_resnet50_fpn"], "write torchvision:fasterrcnn_resnet50_fpn, or hf:FOLDER"),
        (["--detector", "torchvision:fasterrcnn_resnet5_fpn"], "did you mean fasterrcnn_resnet50_fpn"),
        (["--detector", "torchvision:retinanet_resnet50_fpn"], "it has no box head to take features from"),
        (["--detector", f"torchvision:{SMALLEST}", "--checkpoint", "none.pt"], "--checkpoint none.pt: no such file"),
        (["--detector", "hf:DETR", "--out", "rows.csv"], "give a name that ends in .parquet"),
        (["--detector", "hf:DETR", "--regions", "0"], "--regions 0: must be at least 1"),
        (["--detector", "hf:DETR", "--device", "tpu9"], "--device tpu9 cannot be used here"),
        (["--detector", "hf:DETR", "--data", "nowhere"], "no such file or folder"),
    ],
)
def test_wrong_use_is_one_line(
    options: list[str], said: str, questions: Path, detr: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [option.replace("hf:DETR", detr) for option in options]
    arguments = ["features", "--data", str(questions), "--out", str(tmp_path / "out.parquet"), *given]
    assert main(arguments) == 2
    stderr = capsys.readouterr().err
    assert said in stderr and stderr.count("\n") == 1


def test_json_and_failures(questions: Path, detr: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.parquet"
    assert main(["features", "--data", str(questions), "--detector", detr, "--out", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["rows"], result["failed"], result["path"]) == (3, 2, str(out))
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "a.png").write_text("x")
    assert main(["features", "--data", str(bad), "--detector", detr, "--out", str(tmp_path / "no.parquet")]) == 2
    assert "gave any region (not a picture)" in capsys.readouterr().err and not (tmp_path / "no.parquet").exists()
