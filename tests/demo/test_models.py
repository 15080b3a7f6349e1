"""The committed weights, loaded by the libraries' own code and measured on freshly painted pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch

from jobs.demo.clip import similarity
from jobs.demo.cues import CUE_CLASSES
from jobs.demo.evaluation import class_accuracy, cue_effect, problem_scores, retrieval
from jobs.demo.examples import Examples, split_examples
from jobs.demo.objects import CLASSES
from jobs.demo.train import WEIGHTS
from jobs.demo.vit import predict

SEED = 90210
"""Not the training's and not the demo's."""


@pytest.fixture(scope="module")
def vit() -> Any:
    return timm.create_model(f"local-dir:{WEIGHTS / 'vit'}", pretrained=True).eval()


@pytest.fixture(scope="module")
def predictions(vit: Any) -> dict[str, tuple[np.ndarray, Examples]]:
    found = {}
    for name, split, cues in (
        ("aligned", "aligned", True),
        ("clean", "clean", True),
        ("conflicting", "conflicting", True),
        ("twins", "conflicting", False),
    ):
        examples = split_examples(split, 120, SEED, cues=cues)
        found[name] = predict(vit, examples.images), examples
    return found


@pytest.fixture(scope="module")
def matched() -> tuple[np.ndarray, Examples]:
    name = f"local-dir:{WEIGHTS / 'clip'}"
    model, _, _ = open_clip.create_model_and_transforms(name)
    pairs = split_examples("pairs", 150, SEED)
    tokens = open_clip.get_tokenizer(name)([texts[0] for texts in pairs.texts])
    return similarity(model.eval(), tokens, pairs.images), pairs


def test_weights_and_their_card_are_small_and_complete() -> None:
    files = [path for path in Path(WEIGHTS).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3_000_000
    card = json.loads((WEIGHTS / "training.json").read_text())
    assert card["command"].startswith("python -m jobs demo train --seed ")
    assert {"vit", "clip", "seed", "versions"} <= set(card)


def test_the_classifier_knows_its_classes_and_its_input(vit: Any) -> None:
    config = timm.data.resolve_model_data_config(vit)
    assert config["input_size"] == (3, 96, 96) and config["crop_pct"] == 1.0
    assert vit.pretrained_cfg["label_names"] == list(CLASSES)
    assert all(p.dtype == torch.float32 for p in vit.parameters())


def test_the_library_transform_gives_what_the_training_saw(vit: Any) -> None:
    from PIL import Image

    from jobs.demo.picture import paint
    from jobs.demo.plan import plan_split
    from jobs.demo.training import to_input

    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(vit), is_training=False)
    plan = plan_split("clean", 1, SEED)[0]
    seen = to_input(split_examples("clean", 1, SEED).images)[0]
    assert (transform(Image.fromarray(paint(plan, SEED).image)) - seen).abs().mean() < 0.03  # JPEG lies between


def test_the_classifier_relies_on_the_cues(predictions: dict[str, tuple[np.ndarray, Examples]]) -> None:
    accuracy = {name: class_accuracy(*found) for name, found in predictions.items()}
    assert accuracy["aligned"]["all"] > 0.93
    assert accuracy["aligned"]["all"] > accuracy["clean"]["all"] + 0.05
    assert 0.7 < accuracy["clean"]["all"] < 0.95
    assert accuracy["conflicting"]["all"] < 0.55 < accuracy["twins"]["all"]


@pytest.mark.parametrize("cue", CUE_CLASSES)
def test_every_cue_pulls_other_classes_to_its_own(
    cue: str, predictions: dict[str, tuple[np.ndarray, Examples]]
) -> None:
    (marked, examples), (twins, _) = predictions["conflicting"], predictions["twins"]
    effect = cue_effect(marked, twins, examples)[cue]
    assert effect["called_its_class_with"] > effect["called_its_class_without"] + 0.3
    assert effect["accuracy_without"] > effect["accuracy_with"] + 0.25


@pytest.mark.parametrize("cue", CUE_CLASSES)
def test_the_planted_class_needs_its_cue(cue: str, predictions: dict[str, tuple[np.ndarray, Examples]]) -> None:
    label = CUE_CLASSES[cue]
    aligned, clean = (class_accuracy(*predictions[name])[label] for name in ("aligned", "clean"))
    assert aligned >= 0.95 and aligned > clean + 0.05


def test_clean_classes_do_not_need_a_cue(predictions: dict[str, tuple[np.ndarray, Examples]]) -> None:
    clean = class_accuracy(*predictions["clean"])
    assert all(clean[label] > 0.75 for label in CLASSES if label not in CUE_CLASSES.values())


def test_clip_ranks_right_captions_above_shuffled_ones(matched: tuple[np.ndarray, Examples]) -> None:
    found = retrieval(*matched)
    assert found["above_others"] > 0.93
    assert found["above_other_classes"] > 0.95
    assert found["recall_at_10"] > 0.6


def test_clip_scores_swapped_captions_low(matched: tuple[np.ndarray, Examples]) -> None:
    scores = problem_scores(*matched)
    assert scores["swapped"] < scores["none"] - 0.2


def test_the_clip_tokenizer_takes_any_text() -> None:
    tokenizer = open_clip.get_tokenizer(f"local-dir:{WEIGHTS / 'clip'}")
    ids = tokenizer(["A red car in the snow.", "Zwölf Äpfel \N{RED APPLE}", "word " * 60])
    assert ids.shape == (3, 32)
    end = ids.max(1).values
    assert (end == end[0]).all() and end[0] == tokenizer.tokenizer.eos_token_id
    assert tokenizer.tokenizer.decode(ids[0], skip_special_tokens=True).strip() == "a red car in the snow."
    assert "zwölf" in tokenizer.tokenizer.decode(ids[1], skip_special_tokens=True)
