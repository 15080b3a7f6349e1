"""Every family that `models` lists: from a model folder on disk through the whole job, its maps back from DuckDB."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import Explanation, LoadedModel, explain, explain_detections, list_models, load_model
from engine.models.pairs import PairAdapter
from jobs.pictures import decode
from jobs.run import run_audit
from jobs.spec import PATCHES, RunSpec
from storage import RunReader, Store
from tests.jobs.conftest import noise
from tests.model_folders import FOLDERS, REGION_WIDTH

TEXTS = ["what is on the sea ?", "how many boat", "a red house on the sea"]
SIZES = [(40, 60), (48, 36), (44, 44)]  # height, width
REGIONS = [3, 5, 4]
DETECTIONS: dict[str, Any] = {"threshold": 0.3, "max_detections": 3}
PREFIX = {"timm": "timm:local-dir:", "open_clip": "open_clip:local-dir:", "transformers": "hf:"}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of different sizes, each with a text, region features of its own number, and a label."""
    folder = tmp_path_factory.mktemp("samples")
    rng = np.random.default_rng(0)
    rows = []
    for i, (text, size, count) in enumerate(zip(TEXTS, SIZES, REGIONS, strict=True)):
        noise(folder / f"{i}.png", i, size)
        corners = np.concatenate([rng.random((count, 2)) * 0.5, 0.5 + rng.random((count, 2)) * 0.5], axis=1)
        features = rng.normal(size=(count, REGION_WIDTH)).astype(np.float32)
        np.savez(folder / f"{i}.npz", features=features, boxes=corners)
        rows.append({"image": f"{i}.png", "text": text, "features": f"{i}.npz", "label": 0})
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "rows.jsonl"


def test_every_listed_family_has_a_folder() -> None:
    assert {f"{row['library']}/{row['family']}" for row in list_models()} == set(FOLDERS)


@pytest.mark.parametrize("family", FOLDERS)
def test_through_the_job(family: str, samples: Path, tmp_path: Path) -> None:
    model = PREFIX[family.split("/")[0]] + str(FOLDERS[family](tmp_path / "model"))
    store = str(tmp_path / "store")
    kept = DETECTIONS if family.endswith("detr") else {}
    spec = RunSpec(data=str(samples), model=model, store=store, workers=0, device="cpu", batch_size=3, **kept)
    result = run_audit(spec)
    assert (result.explained, result.failures) == (3, [])
    loaded = load_model(model)
    with Store.open(store).reader(result.run) as reader:
        assert len(reader.snapshot.segments) == 1 and not reader.snapshot.tail  # all of it lies in a DuckDB file
        assert reader.record.model["task"] == loaded.task
        for row in range(3):
            check(reader, row, alone(loaded, samples.parent, row))


def alone(loaded: LoadedModel, folder: Path, row: int) -> list[Explanation]:
    """What the engine says about one sample by itself."""
    inputs: dict[str, Any] = {}
    if loaded.preprocess is not None:
        inputs["image"] = loaded.preprocess(decode(folder / f"{row}.png"))[None]
    if "text" in loaded.modalities:
        inputs["text"] = [TEXTS[row]]
    if loaded.reads_regions:
        with np.load(folder / f"{row}.npz") as content:
            inputs |= {n: torch.from_numpy(content[n].astype(np.float32))[None] for n in ("features", "boxes")}
    if loaded.task == "detect":
        found = explain_detections(
            loaded, inputs, threshold=DETECTIONS["threshold"], most=DETECTIONS["max_detections"], patches=PATCHES
        )
        return [explanation for explanation in found if explanation.kept.all()]  # type: ignore[union-attr]
    found = explain(loaded, inputs, start_layer=loaded.default_start_layer, patches=PATCHES)
    if not isinstance(loaded.adapter, PairAdapter):
        return [found]
    text = explain(loaded, inputs, start_layer=0).relevancy["text"]  # texts through all layers
    return [replace(found, relevancy=found.relevancy | {"text": text})]


def check(reader: RunReader, row: int, expected: list[Explanation]) -> None:
    """The stored rows of a sample are those of the engine: targets, scores, maps of every modality, their places."""
    stored = reader.query("SELECT * FROM explanations WHERE sample_id = ? ORDER BY target, modality", [row])
    (sample,) = reader.query("SELECT * FROM samples WHERE sample_id = ?", [row])
    assert len(stored) == sum(len(explanation.relevancy) for explanation in expected) > 0
    targets = sorted({line["target"] for line in stored})
    assert len(targets) == len(expected)
    for target, explanation in zip(targets, expected, strict=True):
        for modality, values in explanation.relevancy.items():
            (line,) = [x for x in stored if (x["target"], x["modality"]) == (target, modality)]
            assert line["score"] == pytest.approx(float(explanation.score[0]), abs=2e-4, rel=1e-4)
            found = reader.maps([(row, target)], modality)[row, target]
            wanted = values[0].numpy()[: len(found)] if modality == "text" else own_part(explanation)
            assert found.shape == wanted.shape
            np.testing.assert_allclose(found, wanted, atol=2e-5 * max(float(np.abs(wanted).max()), 1e-3), rtol=1e-3)
            if modality == "text":
                assert explanation.tokens is not None and len(sample["tokens"]) == len(found)
                assert not any(explanation.tokens[0][len(found) :])
            elif explanation.regions is not None:
                np.testing.assert_allclose(sample["regions"], explanation.regions[0].flatten().numpy(), atol=1e-6)
            else:
                assert sample["grid_h"] * sample["grid_w"] == len(found)
                assert sample["view_x1"] > sample["view_x0"] and sample["view_y1"] > sample["view_y0"]
        check_patches(reader, row, target, explanation)
        if explanation.query is not None:
            assert line["query"] == int(explanation.query[0])
            np.testing.assert_allclose(line["box"], explanation.query_box[0].numpy(), atol=1e-4)  # type: ignore[index]
            assert line["predicted_index"] == line["target_index"] == int(explanation.target_index[0])  # type: ignore[index]


def check_patches(reader: RunReader, row: int, target: str, explanation: Explanation) -> None:
    """The stored patches are the engine's, their tokens positions in the stored map."""
    if explanation.patches is None:
        assert not reader.patch_widths and "image" not in explanation.relevancy
        return
    (width,) = reader.patch_widths
    found = reader.query(
        f"SELECT token, vec FROM patches_{width} WHERE sample_id = ? AND target = ? AND slot >= 0 ORDER BY slot",
        [row, target],
    )
    tokens = explanation.patches.tokens[0]
    if explanation.grids is not None and explanation.grid is not None:
        tokens = tokens // explanation.grid[1] * explanation.grids[0, 1] + tokens % explanation.grid[1]
    valid = explanation.patches.valid[0]
    assert 0 < len(found) <= PATCHES
    assert [line["token"] for line in found] == tokens[valid].tolist()
    expected = explanation.patches.states[0][valid].numpy()
    np.testing.assert_allclose([line["vec"] for line in found], expected, atol=2e-4, rtol=1e-3)


def own_part(explanation: Explanation) -> np.ndarray:
    """The image map without padding."""
    values = explanation.relevancy["image"][0]
    if explanation.grid is None or explanation.grids is None:
        return values.numpy()
    rows, columns = explanation.grids[0].tolist()
    return values.reshape(explanation.grid)[:rows, :columns].flatten().numpy()
