"""Predictions of the model as timm alone makes them: the product takes no part."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from timm.data import create_transform, resolve_data_config

from tests.reliability.load.pictures import Known
from tests.reliability.load.truth import Truth
from tests.reliability.load.writing import MODEL, ROOT

BATCH = 64


def hold_to_timm(truth: Truth, data: Path, known: Sequence[Known]) -> float:
    """Class and confidence of every sample are those that timm gives. Returns the largest difference of a confidence.

    Raises AssertionError for another class, or a confidence further off than a thousandth.
    """
    folder = ROOT / MODEL.rpartition(":")[2]
    config = json.loads((folder / "config.json").read_text())
    names = config["label_names"]
    model = timm.create_model(config["architecture"], num_classes=len(names), **config["model_args"])
    model.load_state_dict(load_file(folder / "model.safetensors"))
    model.eval()
    transform = create_transform(**resolve_data_config(config["pretrained_cfg"]))
    largest, asked = 0.0, [one for one in known if not one.broken]
    for start in range(0, len(asked), BATCH):
        some = asked[start : start + BATCH]
        with torch.inference_mode():
            pictures = torch.stack([transform(Image.open(data / one.uri).convert("RGB")) for one in some])
            sure, found = model(pictures).softmax(-1).max(-1)
        for one, confidence, index in zip(some, sure.tolist(), found.tolist(), strict=True):
            row = truth.rows[one.sample_id]
            assert row["predicted"] == names[index], f"{one.uri}: {row['predicted']}, timm says {names[index]}"
            largest = max(largest, abs(row["confidence"] - confidence))
    assert largest < 1e-3, f"a confidence is {largest} off"
    return largest
