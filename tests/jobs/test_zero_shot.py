"""`run --classes --templates`: classifiers out of image-text models, through the job, the store and the suspects."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import explain_targets, load_model
from engine.models.zero_shot import template_set, zero_shot
from jobs.pictures import decode
from jobs.prompts import Prompts, read_prompts
from jobs.run import run_audit
from jobs.spec import RunSpec
from storage import RunReader, Store
from tests.jobs.conftest import assert_refused, noise, write_manifest
from tests.model_folders import FOLDERS

SCENES = ["boat", "car", "house", "lamp", "sheep", "tree"]


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A file with the classes cat, dog and fox, a comment and a blank line."""
    path = tmp_path / "classes.txt"
    path.write_text("# animals\ncat\ndog\n\n  fox \n")
    return path


def answered(jobs: Any, *arguments: object) -> dict[str, Any]:
    answer = jobs("run", *arguments, "--device", "cpu", "--workers", 0, "--json")
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def stored(reader: RunReader, target: str) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Explanations of a target, and its image maps [N, 16], by sample."""
    rows = reader.query(
        "SELECT sample_id, score, predicted, predicted_index, confidence, correct FROM explanations "
        "WHERE target = ? AND modality = 'image' ORDER BY sample_id",
        [target],
    )
    maps = reader.query("SELECT vec FROM map_image_16 WHERE target = ? ORDER BY sample_id", [target])
    return rows, np.array([row["vec"] for row in maps])


@pytest.mark.parametrize("target", ["predicted", "both", "class:fox", "contrast:cat,dog"])
def test_the_store_holds_what_the_engine_says(
    jobs: Any, photos: Path, clip: str, listed: Path, tmp_path: Path, target: str
) -> None:
    store = tmp_path / "s"
    result = answered(
        jobs, "--data", photos, "--model", clip, "--classes", listed, "--target", target, "--store", store
    )
    assert (result["explained"], result["failed"], result["labelled"]) == (20, 1, 20)
    assert "no sample is labelled fox" in result["warnings"]
    classifier = zero_shot(load_model(clip), {"cat": [], "dog": [], "fox": []}, ["a photo of a {}."])
    names = [f"{kind}/{i}.png" for kind in ("cat", "dog") for i in range(10)]
    assert classifier.preprocess is not None
    images = torch.stack([classifier.preprocess(decode(photos / name)) for name in names])
    labels = torch.tensor([0] * 10 + [1] * 10)
    targets = {"both": ["predicted", labels]}.get(target, [target])
    with Store.open(store).reader(result["run"]) as reader:
        assert reader.record.model["class_names"] == ["cat", "dog", "fox"]
        assert (reader.record.model["task"], reader.record.model["num_classes"]) == ("classify", 3)
        assert reader.map_widths("text") == ()  # nothing of a text is explained
        for asked, one in zip(targets, explain_targets(classifier, images, targets, start_layer=-1), strict=True):
            name = asked if isinstance(asked, str) else "label"
            rows, maps = stored(reader, name)
            expected = one.relevancy["image"].numpy()
            assert np.abs(maps - expected).max() < 1e-5 * np.abs(expected).max()
            np.testing.assert_allclose([row["score"] for row in rows], one.score, rtol=1e-5, atol=1e-5)
            predicted = one.logits.argmax(dim=1)
            assert [row["predicted_index"] for row in rows] == predicted.tolist()
            assert [row["correct"] for row in rows] == (predicted == labels).tolist()
            likely = one.logits.softmax(dim=1).max(dim=1).values
            np.testing.assert_allclose([row["confidence"] for row in rows], likely, rtol=1e-4)


@pytest.mark.parametrize("family", ["open_clip/siglip", "transformers/clip", "transformers/siglip"])
def test_other_families(family: str, tmp_path: Path) -> None:
    prefix = "open_clip:local-dir:" if family.startswith("open_clip") else "hf:"
    model = prefix + str(FOLDERS[family](tmp_path / "model"))
    for i, kind in enumerate(("boat", "house", "tree")):
        noise(tmp_path / f"data/{kind}/{i}.png", i)
    store = str(tmp_path / "s")
    spec = RunSpec(str(tmp_path / "data"), model, store=store, workers=0, device="cpu", classes="labels")
    result = run_audit(spec)
    assert (result.explained, result.labelled, result.failures) == (3, 3, [])
    with Store.open(store).reader(result.run) as reader:
        assert reader.record.model["class_names"] == ["boat", "house", "tree"]


def test_the_texts_make_the_run_not_their_files(
    jobs: Any, photos: Path, clip: str, listed: Path, tmp_path: Path
) -> None:
    store = tmp_path / "s"
    common = ("--data", photos, "--model", clip, "--store", store, "--limit", 2)

    def run_id(classes: object, *more: object) -> str:
        return answered(jobs, *common, "--classes", classes, *more)["run"]

    first = run_id(listed)
    copy = shutil.copy(listed, tmp_path / "copy.txt")
    as_json = tmp_path / "classes.json"
    as_json.write_text('{"cat": [], "dog": [], "fox": []}')
    sentence = tmp_path / "templates.txt"
    sentence.write_text("a photo of a {}.\n")
    assert {run_id(copy), run_id(as_json), run_id(listed, "--templates", sentence)} == {first}
    again = answered(jobs, *common, "--classes", listed)
    assert (again["explained"], again["skipped"]) == (0, 2)
    sentence.write_text("a drawing of a {}.\n")
    (tmp_path / "turned.txt").write_text("fox\ndog\ncat\n")  # classes are numbered in their order
    as_json.write_text('{"cat": ["a cat on a mat"], "dog": [], "fox": []}')
    others = [
        run_id(listed, "--templates", sentence),
        run_id(tmp_path / "turned.txt"),
        run_id(as_json),
        run_id(listed, "--templates", "openai"),
        run_id("labels"),
    ]
    assert len({first, *others}) == 6
    with Store.open(store).reader(first) as reader:
        spec = reader.record.spec
    assert spec["classes"] == [{"name": name, "prompts": []} for name in ("cat", "dog", "fox")]
    assert spec["templates"] == ["a photo of a {}."]
    assert (spec["classes_from"], spec["templates_from"]) == (str(listed), None)  # from the first call
    with Store.open(store).reader(others[-2]) as reader:
        assert reader.record.spec["templates"] == template_set("openai")
        assert reader.record.spec["templates_from"] == "openai"
    with Store.open(store).reader(others[-1]) as reader:  # of all data, not only of --limit 2
        assert Prompts.of_record(reader.record.spec) == Prompts({"cat": [], "dog": []}, ["a photo of a {}."])


def test_runs_without_texts_keep_their_ids() -> None:
    from jobs.spec import identity

    chosen = identity(RunSpec("d", "timm:m"), fingerprint="f", target="predicted", start_layer=0)
    assert not {"classes", "templates"} & set(chosen)


def test_prompts_are_used_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    path.write_text('{"boat": ["a boat {}", "two boats"], "sea_side": []}')
    prompts = read_prompts(str(path), "simple", None)
    assert prompts is not None
    assert prompts.classes == {"boat": ["a boat {}", "two boats"], "sea_side": []}
    assert prompts.templates == template_set("simple")
    assert Prompts.of_record(json.loads(json.dumps(prompts.to_record()))) == prompts
    assert read_prompts(None, None, ["a", "b"]) is None
    from engine.models.zero_shot import prompts_of

    assert prompts_of("sea_side", [], ["a {}.", "{} or {}"]) == ["a sea side.", "sea side or sea side"]


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        ("", ["--classes", "{tmp}/none.txt"], ["none.txt: no such file", "nor the word labels"]),
        ("# nothing\n\n", ["--classes", "{file}"], ["has no classes", "one per line"]),
        ("cat\ndog\ncat\n", ["--classes", "{file}"], ["names the class 'cat' twice"]),
        ("cat\n", ["--classes", "{file}"], ["one class only"]),
        ('{"cat": ["a"], "cat": ["b"]}', ["--classes", "{file}"], ["names the class 'cat' twice"]),
        ('{"cat": "a cat", "dog": []}', ["--classes", "{file}"], ["class 'cat' needs a list of prompts"]),
        ('{"cat": ["a", 3], "dog": []}', ["--classes", "{file}"], ["class 'cat' needs a list of prompts"]),
        ('{"cat": [], ', ["--classes", "{file}"], ["is not valid JSON"]),
        ('["cat", "dog"]', ["--classes", "{json}"], ["is no mapping", "{class: [prompt, ...]}"]),
        (b"\xff\xfe\x00", ["--classes", "{file}"], ["cannot be read", "UTF-8"]),
        ('{"cat": ["a"], "dog": ["b"]}', ["--classes", "{file}", "--templates", "simple"], ["is not used"]),
        ("a photo of {}\na photo\n", ["--classes", "labels", "--templates", "{file}"], ["'a photo' has no {}"]),
        ("\n", ["--classes", "labels", "--templates", "{file}"], ["has no templates"]),
        ("", ["--classes", "labels", "--templates", "opnai"], ["opnai: no such file", "did you mean openai?"]),
        ("", ["--classes", "labels", "--templates", "none"], ["nor one of plain, openai, simple"]),
        ("", ["--templates", "simple"], ["--templates", "give --classes too"]),
        ("cat\ndog\n", ["--classes", "{file}", "--target", "class:dgo"], ["class 'dgo'", "mean dog?"]),
        ("cat\ndog\n", ["--classes", "{file}", "--target", "clip-score"], ["not supported", "predicted"]),
        ("one\ntwo\n", ["--classes", "{file}", "--target", "label"], ["labels that the model does not know"]),
    ],
)
def test_wrong_texts(
    jobs: Any, photos: Path, clip: str, tmp_path: Path, content: str | bytes, arguments: list[str], words: list[str]
) -> None:
    names = {"file": tmp_path / "given.txt", "json": tmp_path / "given.json", "tmp": tmp_path}
    for path in (names["file"], names["json"]):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    filled = [argument.format(**names) for argument in arguments]
    answer = jobs("run", "--data", photos, "--model", clip, "--store", tmp_path / "s", "--device", "cpu", *filled)
    assert_refused(answer, *words)


def test_models_and_labels_that_do_not_fit(
    jobs: Any, photos: Path, vit: str, clip: str, listed: Path, tmp_path: Path
) -> None:
    common = ("--store", tmp_path / "s", "--device", "cpu")
    assert_refused(
        jobs("run", "--data", photos, "--model", vit, "--classes", listed, *common),
        "--classes is for image-text models", "which has classes of its own",
    )  # fmt: skip
    blip = f"hf:{FOLDERS['transformers/blip-itm'](tmp_path / 'blip')}"
    answer = jobs("run", "--data", photos, "--model", blip, "--classes", listed, *common)
    assert answer.code == 2 and answer.err.rstrip().endswith(  # transformers prints how it loads
        f"error: {blip} cannot classify by texts: it does not embed pictures and texts apart from each other; "
        "CLIP and SigLIP do"
    )
    flat = tmp_path / "flat"
    noise(flat / "0.png", 0)
    assert_refused(
        jobs("run", "--data", flat, "--model", clip, "--classes", "labels", *common), "--classes labels needs labels"
    )
    rows = [{"image": str(photos / "cat/0.png"), "label": "0"}, {"image": str(photos / "dog/0.png"), "label": "1"}]
    numbers = write_manifest(tmp_path / "numbers.csv", rows)
    given = ("--data", numbers, "--allow-outside", photos, "--model", clip)
    assert_refused(jobs("run", *given, "--classes", "labels", *common), "the labels are numbers")
    result = answered(jobs, *given, "--classes", listed, "--store", tmp_path / "s")
    assert (result["labelled"], result["warnings"]) == (2, ["no sample is labelled fox"])


def test_long_prompts_are_told(jobs: Any, photos: Path, clip: str, tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    path.write_text(json.dumps({"cat": ["a cat", " ".join(["very"] * 40) + " fat cat"], "dog": ["a dog"]}))
    result = answered(
        jobs, "--data", photos, "--model", clip, "--classes", path, "--store", tmp_path / "s", "--limit", 2
    )
    assert "1 of 3 prompts are longer than the model's text limit: their end is cut" in result["warnings"]


def test_suspects_are_tested_on_the_classifier_of_the_run(jobs: Any, tmp_path: Path) -> None:
    """The demo's CLIP on scenes with planted cues; the files of its texts are gone when the suspects are tested."""
    from jobs.demo.command import SEED, WEIGHTS
    from jobs.demo.dataset import write_dataset

    counts = dict.fromkeys(("aligned", "conflicting", "clean"), 20)
    with write_dataset(tmp_path / "data", SEED, counts).open(newline="") as file:
        rows = [{name: row[name] for name in ("image", "label", "mask")} for row in csv.DictReader(file)]
    data = write_manifest(tmp_path / "data/scenes.csv", rows)
    classes, templates = tmp_path / "classes.txt", tmp_path / "templates.txt"
    classes.write_text("\n".join(SCENES))
    templates.write_text("a photo of a {}.\nthere is a {} in the picture.\n")
    model, store = f"open_clip:local-dir:{WEIGHTS / 'clip'}", tmp_path / "s"
    run = answered(
        jobs, "--data", data, "--model", model, "--classes", classes, "--templates", templates, "--store", store
    )
    assert run["accuracy"] > 0.35, "twice chance, or there is nothing to find"
    classes.unlink(), templates.unlink()
    answer = jobs("suspects", "--store", store, "--json", "--device", "cpu", "--permutations", 2)
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)["suspects"]
    tested = [row for row in found if row["status"] in ("verified", "refuted")]
    assert tested
    from jobs.suspects.material import find_material
    from jobs.suspects.spec import SuspectsSpec

    with Store.open(store).reader(run["run"]) as reader:
        material = find_material(reader.record, SuspectsSpec(store=str(store), device="cpu"))
        rows = reader.query(
            "SELECT predicted_index, confidence FROM explanations WHERE modality = 'image' ORDER BY sample_id"
        )
    ids, pictures = material.pictures(range(12))
    chances = material.score(material.inputs(pictures))
    assert chances.shape == (12, len(SCENES)) and material.loaded.class_names == SCENES
    assert chances.argmax(axis=1).tolist() == [rows[i]["predicted_index"] for i in ids]
    np.testing.assert_allclose(chances.max(axis=1), [rows[i]["confidence"] for i in ids], rtol=1e-4)
