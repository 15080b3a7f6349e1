"""The same image-text weights as an open_clip folder and as a Hugging Face folder: the same maps, scores and words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

from jobs.demo.command import WEIGHTS
from storage import Store
from tests.hf_clip_weights import to_hugging_face
from tests.jobs.conftest import noise, write_manifest
from tests.jobs.processes import Start
from tests.model_folders import open_clip_folder

CAPTIONS = ["a red boat on the sea", "two blue tree", "the house", "a photo of the red house on a blue sea of red boat"]


def hugging_face_twin(source: Path, folder: Path) -> Path:
    """A transformers folder with the weights, the tokenizer and the preprocessing of an open_clip folder."""
    given = json.loads((source / "open_clip_config.json").read_text())
    vision, text = given["model_cfg"]["vision_cfg"], given["model_cfg"]["text_cfg"]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(source)
    size = vision["image_size"]
    config = CLIPConfig(
        projection_dim=given["model_cfg"]["embed_dim"],
        vision_config={
            **_layers(vision["width"], vision["layers"], vision["width"] // vision["head_width"], vision),
            "image_size": size,
            "patch_size": vision["patch_size"],
        },
        text_config={
            **_layers(text["width"], text["layers"], text["heads"], text),
            "vocab_size": text["vocab_size"],
            "max_position_embeddings": text["context_length"],
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
    )
    model = CLIPModel(config)
    weights = to_hugging_face(load_file(source / "open_clip_model.safetensors"))
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected and all(name.endswith("position_ids") for name in missing), (missing, unexpected)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    look = given["preprocess_cfg"]
    processor = {"image_processor_type": "CLIPImageProcessor", "image_mean": look["mean"], "image_std": look["std"],
                 "resample": 3, "do_center_crop": True, "crop_size": {"height": size, "width": size},
                 "size": {"shortest_edge": size}}  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def _layers(width: int, depth: int, heads: int, given: dict[str, Any]) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "intermediate_size": int(width * given.get("mlp_ratio", 4.0)),
        "hidden_act": "gelu",
    }


def tiny(folder: Path) -> Path:
    """A tiny open_clip folder that resizes and crops as Hugging Face does."""
    open_clip_folder(folder)
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["preprocess_cfg"]["resize_mode"] = "shortest"
    path.write_text(json.dumps(config))
    return folder


def read(store: Path, run: str, target: str) -> tuple[list[dict[str, Any]], dict[Any, np.ndarray]]:
    """What is stored of every pair, and its maps by (modality, sample, target)."""
    with Store.open(store).reader(run) as reader:
        rows = reader.query(
            "SELECT sample_id, target, modality, score, clip_percentile, word, drop_mean, drop_mean_random, drop_blur, "
            "drop_word, dropped_word, top_tokens, words, word_starts, word_ends, token_words, text_tokens, text_cut "
            "FROM samples JOIN explanations USING (sample_id) ORDER BY sample_id, target, modality"
        )
        assert {row["target"] for row in rows} == {target, "word-1"}
        found = {}
        for modality in ("image", "text"):
            keys = [(row["sample_id"], row["target"]) for row in rows if row["modality"] == modality]
            found |= {(modality, *key): values for key, values in reader.maps(keys, modality).items()}
    return rows, found


@pytest.mark.parametrize("target", ["clip-score", "clip-logit"])
@pytest.mark.parametrize("weights", ["demo", "tiny"])
def test_both_libraries_store_the_same(start: Start, tmp_path: Path, weights: str, target: str) -> None:
    """Also from pictures that must be resized and cropped: both libraries do so with Pillow."""
    source = WEIGHTS / "clip" if weights == "demo" else tiny(tmp_path / "open_clip")
    twin = hugging_face_twin(source, tmp_path / "hf")
    size = json.loads((source / "open_clip_config.json").read_text())["model_cfg"]["vision_cfg"]["image_size"]
    for seed, shape in enumerate([(size, size), (2 * size, 3 * size), (3 * size, 2 * size)]):
        noise(tmp_path / f"data/{seed}.png", seed, shape)
    pairs = [{"image": f"{seed}.png", "text": text} for seed in range(3) for text in CAPTIONS[seed : seed + 2]]
    data = write_manifest(tmp_path / "data/pairs.csv", pairs)
    stored = []
    for model in (f"open_clip:local-dir:{source}", f"hf:{twin}", str(twin)):
        arguments = ("run", "--data", data, "--model", model, "--target", target, "--words", 1, "--evidence")
        where = ("--store", tmp_path / "s", "--device", "cpu", "--workers", 0, "--json")
        command = start(*arguments, *where)
        assert command.wait() == 0, command.stderr.read_text()
        answer = json.loads(command.stdout.read_text())
        assert answer["total_explained"] == len(pairs)
        stored.append((answer, *read(tmp_path / "s", answer["run"], target)))
    (first, rows, maps), (second, other_rows, other_maps), (third, _, _) = stored
    assert first["run"] != second["run"] == third["run"] and third["skipped"] == len(pairs)
    assert first["remarks"] == second["remarks"]
    assert maps.keys() == other_maps.keys() and len(maps) == 3 * len(pairs)
    for key, values in maps.items():
        assert np.abs(values - other_maps[key]).max() <= 1e-4 * np.abs(values).max(), key
    assert sum(np.abs(values).max() > 0 for values in maps.values()) >= len(maps) / 3
    numbers = ("score", "clip_percentile", "drop_mean", "drop_mean_random", "drop_blur", "drop_word")
    for row, other in zip(rows, other_rows, strict=True):
        for name, value in row.items():
            if name in numbers and value is not None:
                allowed = 0.05 if name == "clip_percentile" else 1e-4 * max(1, abs(row["score"]))
                assert abs(value - other[name]) < allowed, (name, row, other)
            else:
                assert value == other[name], (name, row, other)
