"""A real job that stops half way, for the stores of test_upgrades.py: `PYTHONPATH=SOFTWARE python FILE FOLDER`.

It uses nothing but what the job had from its first version on, so that any version can be told to make its own:

    git archive e9cdc43^ | tar x -C SOFTWARE    # the last of schema 3; a7c34e4^ of schema 2, 8f279c6^ of schema 1

FOLDER gets `photos`, `vit` (unless they are there) and `store`, with the run "halfway": of three parts two.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from jobs.errors import Interrupted
from jobs.pipeline.progress import Reporter
from jobs.run import run_audit
from jobs.spec import RunSpec

RUN, PART, PARTS_DONE = "halfway", 4, 2
MODEL: dict[str, Any] = {"img_size": 16, "patch_size": 4, "embed_dim": 8, "depth": 2, "num_heads": 2}
NAMES = ["cat", "dog"]
WHEN = 1_700_000_000  # a time of files that every archive keeps: part of the dataset's fingerprint


class Impatient(Reporter):
    """Somebody who presses Ctrl-C."""

    def update(self, tally: Any) -> None:
        time.sleep(0.3)  # what was explained until now is written by then
        if tally.parts_done >= PARTS_DONE:
            raise KeyboardInterrupt


def write_material(folder: Path) -> None:
    """Ten small pictures and one that is none, and a model of 12 kB."""
    for i in range(10):
        path = folder / f"photos/{NAMES[i % 2]}/{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (12, 14, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    (folder / "photos/cat/none.png").write_text("not a picture")
    for path in (folder / "photos").rglob("*.png"):
        os.utime(path, (WHEN, WHEN))
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=2, **MODEL)
    (folder / "vit").mkdir()
    save_file(model.state_dict(), folder / "vit/model.safetensors")
    card = {"input_size": [3, 16, 16], "num_classes": 2, "crop_pct": 1.0, "mean": [0.5] * 3, "std": [0.5] * 3}
    config = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 2,
        "model_args": MODEL,
        "pretrained_cfg": card | {"label_names": NAMES},
    }
    (folder / "vit/config.json").write_text(json.dumps(config))


def interrupted(folder: Path) -> Path:
    """Begin the run and stop it; the store."""
    if not (folder / "photos").exists():
        write_material(folder)
    store = folder / "store"
    spec = RunSpec(
        data=str(folder / "photos"),
        model=f"timm:local-dir:{folder / 'vit'}",
        store=str(store),
        name=RUN,
        part_size=PART,
        batch_size=2,
        workers=0,
        device="cpu",
    )
    try:
        run_audit(spec, Impatient())
    except Interrupted:
        return store
    raise RuntimeError(f"the run {RUN!r} ended before it was interrupted")


if __name__ == "__main__":
    interrupted(Path(sys.argv[1]).absolute())
