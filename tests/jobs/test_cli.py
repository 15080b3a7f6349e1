"""The command line as a user meets it: exit codes, one line per error, one JSON document."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from storage import SCHEMA_VERSION
from tests.jobs.conftest import assert_refused, noise, save_vit

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["runn"], ["No such command 'runn'", "'run'"]),
        (["run", "--model", "timm:x"], ["Missing option '--data'"]),
        (["run", "--data", "x", "--model", "y", "--batch-size", "many"], ["--batch-size", "integer"]),
        (["run", "--data", "x", "--model", "y", "--taget", "label"], ["No such option", "--target"]),
        (["run", "--data", "x", "--model", "y", "--ray-workers", "2"], ["are for --launcher ray"]),
        (["run", "--data", "{tmp}/none", "--model", "y"], ["none: no such file or folder"]),
        (["run", "--data", "{tmp}", "--model", "y"], ["no pictures in folder"]),
        (["run", "--data", "{photos}", "--model", "timm:vit_base_patch16_225"], ["mean 'vit_base_patch16_224'"]),
        (["run", "--data", "{photos}", "--model", "vit_base_patch16_224"], ["mean 'timm:vit_base_patch16_224'"]),
        (["run", "--data", "{photos}", "--model", "{vit}", "--method", "gea"], ["unknown method 'gea'", "gae"]),
        (["run", "--data", "{photos}", "--model", "{vit}", "--target", "class:dgo"], ["class 'dgo'", "mean dog?"]),
        (["run", "--data", "{photos}", "--model", "{vit}", "--target", "answer"], ["not supported by timm"]),
        (["run", "--data", "{photos}", "--model", "{vit}", "--device", "abacus"], ["--device abacus"]),
        (["run", "--data", "{photos}", "--model", "{vit}", "--checkpoint", "{tmp}/no.pt"], ["no.pt: no such file"]),
        (["list", "--store", "{tmp}/nowhere"], ["there is no store", "python -m jobs run"]),
        (["status", "--store", "{tmp}/nowhere"], ["there is no store"]),
    ],
)
def test_wrong_use(jobs, arguments: list[str], words: list[str], tmp_path: Path, photos: Path, vit: str) -> None:
    names = {"tmp": tmp_path, "photos": photos, "vit": vit}
    filled = [argument.format(**names) for argument in arguments]
    store = ["--store", tmp_path / "store"] if "--store" not in filled and filled[0] == "run" else []
    assert_refused(jobs(*filled, *store), *words)


def test_a_manifest_without_images(jobs, tmp_path: Path, vit: str) -> None:
    (tmp_path / "rows.csv").write_text("filename,label\na.png,cat\n")
    answer = jobs("run", "--data", tmp_path / "rows.csv", "--model", vit, "--store", tmp_path / "s")
    assert_refused(answer, "no column 'image'", "filename, label", "rename 'filename'")


def test_models_that_do_not_fit(jobs, photos: Path, tmp_path: Path, vit: str, nameless_vit: str) -> None:
    import timm
    import torch
    from safetensors.torch import load_file, save_file

    folder = Path(vit.removeprefix("timm:local-dir:"))
    weights = load_file(folder / "model.safetensors")
    weights["blocks.1.mlp.fc1.weight"] = torch.zeros(7, 32)
    save_file(weights, tmp_path / "other.safetensors")
    command = ["run", "--data", photos, "--store", tmp_path / "s", "--model"]
    answer = jobs(*command, vit, "--checkpoint", tmp_path / "other.safetensors")
    assert_refused(answer, "other.safetensors", "'blocks.1.mlp.fc1.weight'", "(7, 32)")
    model = timm.create_model("resnet10t", pretrained=False, num_classes=3)
    save_vit(tmp_path / "resnet", None)
    save_file(model.state_dict(), tmp_path / "resnet" / "model.safetensors")
    config = json.loads((tmp_path / "resnet" / "config.json").read_text())
    config |= {"architecture": "resnet10t", "model_args": {}}
    (tmp_path / "resnet" / "config.json").write_text(json.dumps(config))
    assert_refused(jobs(*command, f"timm:local-dir:{tmp_path / 'resnet'}"), "ResNet is not supported")


def test_run_list_status_and_run_again(jobs, photos: Path, tmp_path: Path, vit: str) -> None:
    command = ["run", "--data", photos, "--model", vit, "--store", tmp_path / "s", "--workers", 0, "--part-size", 8]
    first = jobs(*command, "--json")
    document = json.loads(first.out)
    assert first.code == 0
    assert {"run", "store", "samples", "explained", "failed", "skipped", "resumed_parts"} <= set(document)
    assert document["seconds"] > 0 and document["samples_per_second"] > 0
    assert document["failures"] == [{"reason": "not a picture", "n": 1}]
    assert "21/21" in first.err and "read" in first.err and "compute" in first.err and "write" in first.err
    again = jobs(*command)
    assert again.code == 0 and "nothing to do, all 21 samples were done before" in again.out
    assert "1 failed: 1 not a picture" in again.out and "python -m dashboard --store" in again.out
    assert jobs(*command, "--max-failures", 0).code == 1 and jobs(*command, "--max-failures", 1).code == 0
    rows = json.loads(jobs("list", "--store", tmp_path / "s", "--json").out)
    assert [(row["run"], row["state"], row["explained"], row["failed"]) for row in rows] == [
        (document["run"], "finished", 20, 1)
    ]
    assert document["run"] in jobs("list", "--store", tmp_path / "s").out
    status = json.loads(jobs("status", document["run"], "--store", tmp_path / "s", "--json").out)
    assert status["failures"] == document["failures"] and status["parts_done"] == status["parts_total"] == 3
    assert "20 of 21 samples explained, 1 failed (3 of 3 parts)" in jobs("status", "--store", tmp_path / "s").out
    wrong = jobs("status", document["run"][:-1], "--store", tmp_path / "s")
    assert_refused(wrong, f"did you mean '{document['run']}'")


def test_nothing_could_be_explained(jobs, tmp_path: Path, vit: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.png").write_text("x")
    answer = jobs("run", "--data", tmp_path / "data", "--model", vit, "--store", tmp_path / "s", "--workers", 0)
    assert answer.code == 1 and "1 failed: 1 not a picture" in answer.out


def test_a_store_that_cannot_be_used(jobs, photos: Path, tmp_path: Path, vit: str) -> None:
    (tmp_path / "file").write_text("x")
    command = ["run", "--data", photos, "--model", vit, "--store"]
    assert_refused(jobs(*command, tmp_path / "file"), "cannot be written", "--store")
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "store.json").write_text(json.dumps({"schema_version": SCHEMA_VERSION + 1}))
    assert_refused(jobs(*command, newer), "newer version", "upgrade")
    assert_refused(jobs("list", "--store", newer), "newer version", "upgrade")


def test_models_and_methods(jobs) -> None:
    models = json.loads(jobs("models", "--json").out)
    assert {"timm", "open_clip"} <= {model["library"] for model in models}
    methods = json.loads(jobs("methods", "--json").out)
    assert {"gae", "rollout", "raw_attention", "grad_cam", "random"} <= {method["name"] for method in methods}
    assert "gae" in jobs("methods").out and "timm:vit_base_patch16_224" in jobs("models").out


def test_help_names_the_patches(jobs) -> None:
    said = " ".join(jobs("run", "--help").out.split())
    assert "--patches" in said and "token states are stored, for `suspects` (0: none). [default: 8]" in said


def test_list_and_help_do_not_wait_for_torch(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text(json.dumps({"schema_version": SCHEMA_VERSION}))
    code = (
        "import sys; from jobs.cli import main\n"
        f"calls = [['--help'], ['list', '--store', {str(tmp_path)!r}], [], ['demo', '--help']]\n"
        "codes = [main(call) for call in calls]\n"
        "heavy = {'torch', 'timm', 'transformers', 'engine'} & set(sys.modules)\n"
        "sys.exit(str(heavy or codes) if heavy or any(codes) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (
        "Usage: python -m jobs" in done.stdout
        and "Train the two demo models" in done.stdout
        and "no runs in" in done.stdout
    )


def test_duplicate_and_missing_rows_by_the_command(jobs, tmp_path: Path, vit: str) -> None:
    noise(tmp_path / "a.png", 0)
    Image.new("RGB", (3, 3)).save(tmp_path / "b.png")
    (tmp_path / "rows.csv").write_text("image,label\na.png,cat\nb.png,11\na.png,cat\nc.png,dog\n")
    command = ["run", "--data", tmp_path / "rows.csv", "--model", vit, "--store", tmp_path / "s", "--workers", 0]
    document = json.loads(jobs(*command, "--json").out)
    assert (document["explained"], document["failed"]) == (1, 3)
    assert {failure["reason"] for failure in document["failures"]} == {
        "label 11 is out of range: the model has 3 classes (0 to 2)",
        "repeats the image of row 1",
        "file not found",
    }
