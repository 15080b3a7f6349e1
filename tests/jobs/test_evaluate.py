"""`evaluate`: the numbers are those of a plain loop, bad samples are counted, and every kind of model can be tested."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file

from engine import explain, load_model
from jobs.evaluate.command import EvaluateResult, evaluate
from jobs.evaluate.protocols import fitting
from jobs.evaluate.spec import EvaluateSpec
from jobs.evaluate.subject import Subject
from jobs.run import run_audit
from jobs.spec import RunSpec
from storage import Store, read_faithfulness
from tests.jobs.conftest import Audited, assert_refused, write_manifest
from tests.jobs.test_questions import QUESTION, noise, regions
from tests.model_folders import bert_folder, detr_folder, lxmert_folder, visual_bert_folder

Row = dict[str, Any]
STEPS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def rows_of(result: EvaluateResult, **wanted: str) -> list[Row]:
    return [row for row in result.results if all(row[name] == value for name, value in wanted.items())]


def the_row(result: EvaluateResult, **wanted: str) -> Row:
    (row,) = rows_of(result, **wanted)
    return row


def checked(store: Path, **options: Any) -> EvaluateResult:
    return evaluate(EvaluateSpec(store=str(store), device="cpu", **options))


@pytest.fixture(scope="module")
def evaluated(audited: Audited, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EvaluateResult]:
    store = shutil.copytree(audited.store, tmp_path_factory.mktemp("evaluated") / "store")
    protocols = ("vit", "segmentation", "localisation", "similarity")
    return store, checked(store, protocols=protocols, methods=("gae",), samples=8, ablations=True)


def test_perturbation_is_that_of_a_plain_loop(audited: Audited, evaluated: tuple[Path, EvaluateResult]) -> None:
    store, result = evaluated
    loaded = load_model(audited.model)
    with Store.open(str(store)).reader("demo") as reader:
        rows = reader.query("SELECT sample_id, uri, label FROM samples ORDER BY sample_id")
    chosen = np.sort(np.random.default_rng(0).choice(len(rows), 8, replace=False))
    right = {direction: np.zeros((8, len(STEPS))) for direction in ("positive", "negative")}
    for number, row in enumerate(rows[k] for k in chosen):
        picture = Image.open(audited.data.parent / row["uri"]).convert("RGB")
        image = loaded.preprocess(picture)[None]  # type: ignore[misc]
        black = loaded.preprocess(Image.new("RGB", picture.size))  # type: ignore[misc]
        found = explain(loaded, image)
        large = F.interpolate(
            found.relevancy["image"].reshape(1, 1, *found.grid), size=image.shape[-2:], mode="bilinear"
        )  # type: ignore[misc]
        for direction, sign in (("positive", -1), ("negative", 1)):
            order = (sign * large).flatten().argsort(stable=True)
            for k, step in enumerate(STEPS):
                gone = image.clone().flatten(2)
                gone[..., order[: int(step * order.numel())]] = black.flatten(1)[None, :, :1]
                said = int(loaded.model(gone.reshape(image.shape)).argmax())
                right[direction][number, k] = loaded.class_names[said] == row["label"]  # type: ignore[index]
    for direction, expected in right.items():
        row = the_row(result, method="gae", test=f"perturbation {direction}")
        assert row["curve"]["steps"] == STEPS and row["n"] == 8
        np.testing.assert_allclose(row["curve"]["values"], expected.mean(axis=0), atol=1e-6)
        assert row["auc"] == pytest.approx(100 * np.trapezoid(expected.mean(axis=0), STEPS), abs=1e-5)
        assert row["auc_low"] <= row["auc"] <= row["auc_high"]
    gap = the_row(result, method="gae", test="perturbation gap")
    assert gap["auc"] == pytest.approx(
        100 * np.trapezoid((right["negative"] - right["positive"]).mean(axis=0), STEPS), abs=1e-5
    )


def test_the_trained_model_is_told_from_chance(evaluated: tuple[Path, EvaluateResult]) -> None:
    _, result = evaluated
    names = {row["method"] for row in rows_of(result, test="perturbation gap")}
    assert names == {"gae", "random", "constant", "gae, no aggregation", "gae, with LRP"}
    gap = {row["method"]: row["auc"] for row in rows_of(result, test="perturbation gap")}
    assert gap["gae"] > gap["random"] and gap["constant"] == pytest.approx(0)
    miou = {row["method"]: row["auc"] for row in rows_of(result, test="segmentation mIoU")}
    assert miou["gae"] > miou["random"] + 5
    inside = the_row(result, method="gae", test="relevancy in mask")
    assert inside["auc"] > the_row(result, method="gae", test="relevancy in mask, by chance")["auc"]
    alike = the_row(result, method="gae", test="similarity random")
    assert abs(alike["auc"]) < 0.4 and alike["n"] == 8


def test_results_are_kept_and_those_of_other_protocols_stay(evaluated: tuple[Path, EvaluateResult]) -> None:
    store, result = evaluated
    with Store.open(str(store)).reader("demo") as reader:
        before = read_faithfulness(reader.run)
        assert {(r["method"], r["test"]) for r in before} == {(r["method"], r["test"]) for r in result.results}
        again = checked(store, protocols=("insertion",), methods=("gae",), samples=2, fills=("blur",))
        assert {row["test"] for row in again.results} == {"insertion blur"}
        kept = read_faithfulness(reader.run)
    assert len(kept) == len(before) + len(again.results)
    assert all(row["curve"]["values"][0] <= row["curve"]["values"][-1] for row in rows_of(again, method="gae"))


def test_a_run_whose_maps_ignore_the_weights_is_told_from_one_whose_do(audited: Audited, copied: Path) -> None:
    result = checked(copied, protocols=("randomisation",), methods=("gae", "raw_attention"), samples=12)
    row = the_row(result, method="gae")
    assert row["details"]["reacts"] is True and row["auc"] < 0.5
    assert row["details"]["stages"][0] == "head" and len(row["curve"]["values"]) == len(row["details"]["stages"])
    before, after = load_file(Path(audited.model.split(":")[-1]) / "model.safetensors"), load_model(audited.model)
    assert all(torch.equal(before[name], value) for name, value in after.model.state_dict().items())


@pytest.fixture
def spoiled(audited: Audited, tmp_path: Path) -> Path:
    """A run of eight scenes: of the masks one is missing, one empty, one of another size, one no picture, four good."""
    with audited.data.open(newline="") as file:
        rows = [dict(row) for row in csv.DictReader(file)][:8]
    data = tmp_path / "spoiled"
    for row in rows:
        for name in ("image", "mask"):
            (data / row[name]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(audited.data.parent / row[name], data / row[name])
    rows[0]["mask"] = ""
    mask = Image.open(data / rows[1]["mask"])
    Image.new("L", mask.size).save(data / rows[1]["mask"])
    Image.new("L", (10, 90), 255).save(data / rows[2]["mask"])
    (data / rows[3]["mask"]).write_text("no picture")
    manifest = write_manifest(data / "rows.csv", [{k: row[k] for k in ("image", "label", "mask")} for row in rows])
    run_audit(RunSpec(str(manifest), audited.model, store=str(tmp_path / "store"), workers=0, device="cpu", name="bad"))
    return tmp_path / "store"


def test_bad_masks_are_skipped_counted_and_never_averaged_in(spoiled: Path) -> None:
    result = checked(spoiled, protocols=("segmentation",), methods=("gae",))
    row = the_row(result, method="gae", test="segmentation mIoU")
    reasons = row["skipped"]
    assert row["n"] == 4 and sum(reasons.values()) == 4
    assert reasons["no mask"] == reasons["empty mask"] == reasons["mask of another size"] == 1
    assert any(reason.startswith("mask unusable") for reason in reasons)


def test_maps_of_a_dead_model_are_counted(audited: Audited, tmp_path: Path) -> None:
    """With a head of zeros no gradient reaches the attention: GAE's maps are zero everywhere."""
    model = shutil.copytree(audited.model.split(":")[-1], tmp_path / "dead")
    weights = load_file(model / "model.safetensors")
    weights["head.weight"].zero_()
    save_file(weights, model / "model.safetensors")
    store = str(tmp_path / "store")
    run_audit(RunSpec(str(audited.data), f"timm:local-dir:{model}", store=store, workers=0, limit=6, device="cpu"))
    result = checked(Path(store), protocols=("vit",), methods=("gae", "rollout"))
    dead = the_row(result, method="gae", test="perturbation positive")
    assert dead["n"] == 0 and dead["auc"] is None and dead["skipped"] == {"the map is zero everywhere": 6}
    assert the_row(result, method="rollout", test="perturbation positive")["n"] == 6


@pytest.mark.parametrize("family", ["visualbert", "lxmert"])
def test_questions_about_regions(family: str, tmp_path: Path) -> None:
    folder = {"visualbert": visual_bert_folder, "lxmert": lxmert_folder}[family](tmp_path / "model")
    noise(tmp_path / "a.png", 0, (40, 60))
    answers = load_model(f"hf:{folder}").class_names or []
    questions = [QUESTION, "is it red ?", "what is it ?", "1"]
    rows = [
        {"image": "a.png", "text": text, "features": regions(tmp_path, f"{k}.npz", 4 + k), "label": answers[0]}
        | {"answers": json.dumps({answers[0]: 0.6, answers[1]: 1.0})}
        for k, text in enumerate(questions)
    ]
    data = tmp_path / "rows.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    store = tmp_path / "store"
    run_audit(RunSpec(str(data), f"hf:{folder}", store=str(store), workers=0, device="cpu"))
    with Store.open(str(store)).reader(Store.open(str(store)).run_ids()[0]) as reader:
        subject = Subject.of(reader, EvaluateSpec(store=str(store), device="cpu"))
    assert fitting(subject, EvaluateSpec()) == [family, "randomisation", "similarity"]
    result = checked(store, protocols=(family, "similarity"), methods=("gae", "rollout"), ablations=True)
    for modality in ("image", "text"):
        row = the_row(result, method="gae", modality=modality, test="perturbation positive")
        assert len(row["curve"]["steps"]) == 9 and row["n"] + sum(row["skipped"].values()) == 4
        assert all(0 <= value <= 1 for value in row["curve"]["values"])
    if family == "visualbert":  # "1 ?" has one word that may go, the read-out token and [SEP] stay
        assert sum(the_row(result, method="gae", modality="text", test="perturbation gap")["skipped"].values()) >= 1
    names = {row["method"] for row in result.results}
    assert {"gae, no normalisation", "gae, no self-attention in rule 10"} <= names or family == "visualbert"


def test_texts_alone(tmp_path: Path) -> None:
    folder = bert_folder(tmp_path / "bert", ["bad", "good"])
    data = write_manifest(
        tmp_path / "texts.csv", [{"text": text, "label": "good"} for text in (QUESTION, "is it red ?")]
    )
    store = tmp_path / "store"
    run_audit(RunSpec(str(data), f"hf:{folder}", store=str(store), workers=0, device="cpu"))
    result = checked(store, protocols=("lxmert", "deletion"), methods=("gae",))
    assert {row["modality"] for row in result.results} == {"text"}
    assert the_row(result, method="gae", test="deletion positive")["n"] == 2


def test_detectors(tmp_path: Path) -> None:
    folder = detr_folder(tmp_path / "detr", ["boat", "car"])
    images = []
    for number in range(3):
        noise(tmp_path / f"{number}.png", number, (64, 80))
        images.append({"id": number + 1, "file_name": f"{number}.png", "width": 80, "height": 64})
    store = tmp_path / "store"
    data = write_manifest(tmp_path / "pictures.csv", [{"image": f"{number}.png"} for number in range(3)])
    run_audit(RunSpec(str(data), f"hf:{folder}", store=str(store), workers=0, device="cpu", threshold=0.0))
    square = [[10, 10, 40, 10, 40, 40, 10, 40]]
    truth = {
        "images": images,
        "categories": [{"id": 7, "name": "boat"}, {"id": 9, "name": "car"}],
        "annotations": [
            {"id": k, "image_id": k, "category_id": 7, "segmentation": square, "bbox": [10, 10, 30, 30], "iscrowd": 0}
            for k in (1, 2, 3)
        ],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    result = checked(store, annotations=str(tmp_path / "truth.json"), methods=("gae", "raw_attention"))
    assert result.protocols == ["coco"]
    assert {row["test"] for row in result.results} >= {"COCO AP", "COCO AR_L"}
    assert {row["n"] for row in result.results} == {3}


def test_wrong_use_is_one_clear_line(audited: Audited, copied: Path, jobs: Any, tmp_path: Path) -> None:
    store = ("--store", copied)
    assert_refused(
        jobs("evaluate", "demo", *store, "--protocol", "vitt"), "unknown protocol 'vitt'", "did you mean vit"
    )
    assert_refused(jobs("evaluate", "demo", *store, "--method", "gaee", "--protocol", "vit"), "gaee", "gae")
    assert_refused(jobs("evaluate", "demo", *store, "--protocol", "lxmert"), "lxmert does not fit", "vit")
    assert_refused(jobs("evaluate", "demo", *store, "--protocol", "coco"), "coco does not fit")
    assert_refused(jobs("evaluate", "demo", *store, "--data", tmp_path / "none"), "give --data")
    assert_refused(jobs("evaluate", "demo", *store, "--samples", "1"), "--samples 1: must be at least 2")
    assert_refused(jobs("evaluate", "nobody", *store), "nobody")
    assert_refused(jobs("evaluate", "demo", *store, "--fill", "red"), "unknown fill 'red'")


def test_the_command_prints_one_document_or_tables(copied: Path, jobs: Any) -> None:
    asked = ("evaluate", "demo", "--store", copied, "--protocol", "vit", "--samples", "4", "--method", "gae")
    answer = jobs(*asked, "--json")
    document = json.loads(answer.out)
    assert answer.code == 0 and document["run"] == "demo"
    assert {"method", "modality", "test", "curve", "auc", "n"} <= set(document["results"][0])
    assert {"steps", "values"} <= set(document["results"][0]["curve"])
    told = jobs(*asked)
    assert told.code == 0 and "perturbation positive, image (vit): lower is better" in told.out


def test_pairs_of_pictures_and_captions(clip: str, tmp_path: Path) -> None:
    texts = ["a red boat on the sea", "two dogs", "snow"]
    rows = [{"image": noise(tmp_path / f"{k}.png", k).name, "text": text} for k, text in enumerate(texts)]
    data, store = write_manifest(tmp_path / "pairs.csv", rows), tmp_path / "store"
    run_audit(RunSpec(str(data), clip, target="clip-logit", store=str(store), workers=0, device="cpu"))
    result = checked(store, protocols=("deletion",), methods=("gae", "rollout"), fills=("mean",))
    assert {(row["modality"], row["test"]) for row in result.results} >= {
        ("image", "deletion mean positive"),
        ("text", "deletion positive"),
    }
    for modality, test, n in (("image", "deletion mean positive", 3), ("text", "deletion positive", 2)):
        whole = [row["curve"]["values"][0] for row in rows_of(result, modality=modality, test=test) if row["n"] == n]
        assert len(whole) >= 2 and whole == pytest.approx([whole[0]] * len(whole))  # the whole pair is the same for all
    skipped = the_row(result, method="rollout", modality="text", test="deletion positive")["skipped"]
    assert skipped == {"one token only": 1}  # "snow" gives no order
