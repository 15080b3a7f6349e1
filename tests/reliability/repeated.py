"""Small datasets and models of five families, and runs of them in which something is varied that must not matter."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from jobs.errors import Interrupted
from jobs.pipeline.progress import Reporter
from jobs.run import run_audit
from jobs.spec import RunSpec
from tests.jobs.conftest import noise

sys.path.append(str(Path(__file__).resolve().parents[1]))  # pytest puts it there; `python -m` does not
from tests.model_folders import FOLDERS, REGION_WIDTH

RUN = "run"
BASE: dict[str, Any] = {"workers": 0, "batch_size": 3, "part_size": 256, "device": "cpu"}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("timm/vit", {"target": "both"}),
    "clip pairs": ("open_clip/clip", {"words": 2, "evidence": True}),
    "visualbert": ("transformers/visualbert", {}),
    "lxmert": ("transformers/lxmert", {}),
    "detr": ("transformers/detr", {"threshold": 0.3, "max_detections": 3}),
}
"""Name -> the folder of its model (tests/model_folders.py), and options of its runs."""
METHODS = ("gae", "rollout", "lrp")
PREFIX = {"timm": "timm:local-dir:", "open_clip": "open_clip:local-dir:", "transformers": "hf:"}
QUESTIONS = ("what is on the sea ?", "how many boat", "a red house on the sea", "where is the tree ?", "a boat")
SIZES = ((40, 60), (48, 36), (44, 44))  # height, width
WHEN = 1_700_000_000


def write_samples(folder: Path, count: int) -> Path:
    """A manifest of pictures of three sizes, one of them none, each with a text and region features of its own."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for i in range(count):
        noise(folder / f"{i}.png", i, SIZES[i % len(SIZES)])
        regions = 3 + i % 4
        corners = np.concatenate([rng.random((regions, 2)) * 0.5, 0.5 + rng.random((regions, 2)) * 0.5], axis=1)
        features = rng.normal(size=(regions, REGION_WIDTH)).astype(np.float32)
        np.savez(folder / f"{i}.npz", features=features, boxes=corners)
        text = QUESTIONS[i % len(QUESTIONS)]
        rows.append({"image": f"{i}.png", "text": text, "features": f"{i}.npz", "label": i % 2, "shade": i / 7})
    (folder / "1.png").write_text("not a picture")
    (folder / "1.npz").write_text("no features")
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for path in folder.iterdir():
        os.utime(path, (WHEN, WHEN))
    return folder / "rows.jsonl"


def copied_backwards(manifest: Path, folder: Path) -> Path:
    """The same files, written in the opposite order: the order in which a disk lists them."""
    folder.mkdir()
    for path in sorted(manifest.parent.iterdir(), reverse=True):
        (folder / path.name).write_bytes(path.read_bytes())
        os.utime(folder / path.name, (WHEN, WHEN))
    return folder / manifest.name


def write_model(family: str, folder: Path) -> str:
    """A tiny model of a family, with attention far from uniform; its `--model`."""
    builder, _ = FAMILIES[family]
    if family == "vit":  # the others come so
        enliven(FOLDERS[builder](folder) / "model.safetensors")
        return PREFIX["timm"] + str(folder)
    return PREFIX[builder.split("/")[0]] + str(FOLDERS[builder](folder))


def enliven(weights: Path) -> None:
    """Make the matrices of a file of weights larger, by a fixed seed."""
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: one + torch.randn(one.shape, generator=generator) * 0.15 if one.dim() >= 2 else one
        for name, one in sorted(load_file(weights).items())
    }
    save_file(tensors, weights)


def audit(family: str, manifest: Path, model: str, store: Path, method: str = "gae", **varied: Any) -> Path:
    """A run of a family into a new store, with options varied; the store."""
    _, options = FAMILIES[family]
    threads = varied.pop("threads", torch.get_num_threads())
    stops = varied.pop("stops", False)
    spec = RunSpec(str(manifest), model, store=str(store), name=RUN, method=method, **{**BASE, **options, **varied})
    with with_threads(threads):
        if stops:
            try:
                run_audit(spec, Impatient())
            except Interrupted:
                pass
            else:
                raise RuntimeError("the run ended before it was interrupted")
        run_audit(spec)
    return store


class Impatient(Reporter):
    """Somebody who presses Ctrl-C as soon as a part is safe."""

    def update(self, tally: Any) -> None:
        if tally.done >= 4:
            raise KeyboardInterrupt


@contextmanager
def with_threads(number: int) -> Iterator[None]:
    """Torch on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
