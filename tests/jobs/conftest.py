"""Tiny models in folders, as timm and open_clip save them, small folders of pictures, and commands on them."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from jobs.cli import main
from jobs.run import run_audit
from jobs.spec import RunSpec
from jobs.suspects.command import find_suspects
from jobs.suspects.spec import SuspectsSpec
from tests.jobs.processes import Command, Start, begin, serving
from tests.once import made_once

CLASSES = ["cat", "dog", "fox"]
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}
CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    """`--model` of a tiny timm ViT with the classes cat, dog and fox: 4 x 4 tokens."""
    return f"timm:local-dir:{save_vit(tmp_path_factory.mktemp('models') / 'tiny_vit', CLASSES)}"


@pytest.fixture(scope="session")
def nameless_vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same without class names."""
    return f"timm:local-dir:{save_vit(tmp_path_factory.mktemp('models') / 'nameless', None)}"


def save_vit(folder: Path, names: list[str] | None) -> Path:
    import timm

    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=len(CLASSES), **VIT)
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors")
    pretrained = {"input_size": [3, 32, 32], "num_classes": 3, "crop_pct": 1.0, "mean": [0.5] * 3, "std": [0.5] * 3}
    config = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 3,
        "model_args": VIT,
        "pretrained_cfg": pretrained | ({"label_names": names} if names else {}),
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """`--model` of a tiny open_clip CLIP: 4 x 4 image tokens, 16 text tokens."""
    import open_clip

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny_clip"
    folder.mkdir()
    preprocess = {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CLIP, "preprocess_cfg": preprocess}))
    model = open_clip.CLIP(**CLIP)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return f"open_clip:local-dir:{folder}"


def noise(path: Path, seed: int, size: tuple[int, int] = (40, 48)) -> Path:
    """A picture of noise, [height, width] = size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders cat and dog with ten pictures each, dog with a text file named .png besides."""
    root = tmp_path_factory.mktemp("data") / "photos"
    for i in range(10):
        noise(root / f"cat/{i}.png", i), noise(root / f"dog/{i}.png", 100 + i)
    (root / "dog/text.png").write_text("not a picture")
    return root


@dataclass
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def jobs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """`jobs("list", "--store", path)`, in this process."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Answer(code, *capsys.readouterr())

    yield call
    import logging

    logging.disable(logging.NOTSET)


def assert_refused(answer: Answer, *words: str) -> None:
    """Exit code 2, nothing on stdout, exactly one line on stderr, which says these words."""
    assert answer.code == 2, answer
    assert answer.out == ""
    assert answer.err.startswith("error: ") and answer.err.count("\n") == 1, answer.err
    for word in words:
        assert word in answer.err, answer.err


@pytest.fixture(scope="session")
def server() -> Iterator[subprocess.Popen[str]]:
    with serving() as process:
        yield process


@pytest.fixture
def start(server: subprocess.Popen[str], tmp_path: Path) -> Iterator[Start]:
    """`start("run", "--data", ...)` begins a command and returns at once; a test that fails leaves none behind."""
    begun: list[Command] = []

    def go(*arguments: object, file_limit: int | None = None, **environment: str) -> Command:
        begun.append(begin(server, tmp_path, *arguments, file_limit=file_limit, environment=environment))
        return begun[-1]

    yield go
    for command in begun:
        if not command.waited:
            command.kill()
            command.wait()


@dataclass(frozen=True)
class Audited:
    """A finished run named "demo" of the demo's trained ViT, and what the first search in it printed.

    The manifest has labels, masks, `scanner` (old for pictures with a tag, a planted cue of boats) and `synset`
    (another word for the label). Tests that change anything work on a copy of the store.
    """

    data: Path
    model: str
    store: Path
    found: dict[str, Any]


@pytest.fixture(scope="session")
def audited() -> Audited:
    """90 scenes with planted cues, explained and searched once."""
    folder = made_once("audited", _audit)
    model = f"timm:local-dir:{folder / 'vit'}"
    return Audited(folder / "data/scenes.csv", model, folder / "store", json.loads((folder / "found.json").read_text()))


def _audit(folder: Path) -> None:
    from jobs.demo.command import SEED, WEIGHTS
    from jobs.demo.dataset import write_dataset

    counts = dict.fromkeys(("aligned", "conflicting", "clean"), 30)
    with write_dataset(folder / "data", SEED, counts).open(newline="") as file:
        rows = list(csv.DictReader(file))
    data = write_manifest(
        folder / "data/scenes.csv",
        [
            {
                **{name: row[name] for name in ("image", "label", "mask")},
                "scanner": "old" if row["cue"] == "tag" else "new",
                "synset": f"n{len(row['label'])}{row['label']}",
            }
            for row in rows
        ],
    )
    model = f"timm:local-dir:{shutil.copytree(WEIGHTS / 'vit', folder / 'vit')}"
    store = str(folder / "store")
    run_audit(RunSpec(str(data), model, store=store, workers=0, device="cpu", name="demo", part_size=16))
    (folder / "found.json").write_text(json.dumps(find_suspects(SuspectsSpec(store=store)).to_json()))


def write_manifest(path: Path, rows: list[dict[str, str]]) -> Path:
    """A CSV file of rows with the same keys."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def copied(audited: Audited, tmp_path: Path) -> Path:
    """A copy of the audited store."""
    return shutil.copytree(audited.store, tmp_path / "store")
