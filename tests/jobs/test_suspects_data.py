"""Suspects in runs that are odd: no labels, one class, no maps, no patches, numbers that are none, other tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import Store, parts_table
from tests.jobs.conftest import assert_refused, noise
from tests.model_folders import detr_folder

CLASSES = ["ant", "bee", "cat"]
GRID, WIDTH, COUNT = (4, 4), 64, 60
CUE = np.eye(WIDTH)[3]


def sample(rng: np.random.Generator, k: int) -> dict[str, Any]:
    """One of 60 explained samples. Ants have a cue at a random place and look at it; bees look at cells 14 and 15."""
    number = k % 3
    states = 3 * np.eye(WIDTH)[0] + rng.normal(size=(6, WIDTH)) / np.sqrt(WIDTH)
    cells, tokens = 1 + 0.3 * rng.random(16), rng.permutation(14)[:5]
    if number == 0:
        states[0] = 3 * np.eye(WIDTH)[0] + 2 * CUE + 0.02 * rng.normal(size=WIDTH)
        cells[tokens[0]] += 10
    elif number == 1:
        cells[14:] += 4
    return {
        "sample_id": k,
        "uri": f"{k:02}.png",
        "label": CLASSES[number],
        "label_index": number,
        "grid_h": 4,
        "grid_w": 4,
        "target": "predicted",
        "target_index": number,
        "modality": "image",
        "score": 1.0,
        "predicted": CLASSES[number],
        "predicted_index": number,
        "confidence": 0.9,
        "mass": 1.0,
        "map": cells.astype(np.float32),
        "patch_tokens": tokens.astype(np.int32),
        "patch_states": states.astype(np.float32).reshape(-1),
    }


def samples(**changes: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [{**sample(rng, k), **changes} for k in range(COUNT)]


def write(
    store: Path, rows: list[dict[str, Any]], metadata: dict[str, str] | None = None, state: str = "finished"
) -> None:
    """A run "made" of these rows; `metadata` are names and types of columns."""
    columns = [{"name": name, "column": name, "type": kind} for name, kind in (metadata or {}).items()]
    record = {
        "spec": {"model": "tiny", "method": "gae", "target": "predicted"},
        "model": {"name": "tiny", "class_names": CLASSES, "grid": list(GRID), "modalities": ["image"]},
        "dataset": {"root": "/data", "kind": "folder", "fingerprint": "f", "samples": len(rows), "metadata": columns},
        "versions": {},
        "notes": [],
    }
    with Store.open(store, create=True).writer("made", record) as writer:
        writer.commit_part(0, parts_table(rows, columns))
        writer.finish(state)


@pytest.fixture
def search(jobs, tmp_path: Path):
    """`search(rows)` writes a run and returns the document of a search that tests nothing."""

    def made(
        rows: list[dict[str, Any]],
        *options: object,
        metadata: dict[str, str] | None = None,
        state: str = "finished",
    ) -> dict[str, Any]:
        write(tmp_path / "store", rows, metadata, state)
        answer = jobs("suspects", "made", "--store", tmp_path / "store", "--no-verify", "--json", *options)
        assert answer.code == 0, answer.err
        return json.loads(answer.out)

    return made


def kinds(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(row["kind"], row["class_name"]) for row in document["suspects"]}


def test_a_plain_run(search) -> None:
    """What the other tests take something from."""
    found = search(samples())
    assert found["notes"] == []
    (first, *_) = found["suspects"]
    assert (first["kind"], first["class_name"], first["n"]) == ("concept", "ant", 20)
    assert set(first["sample_ids"]) == set(range(0, COUNT, 3))
    assert first["evidence"]["consequence"]["accuracy_with"]["n"] == 20
    places = {row["class_name"]: row for row in found["suspects"] if row["kind"] == "location"}
    assert (places["bee"]["cue"]["cells"], places["bee"]["name"]) == ([14, 15], "a place: at the bottom right")


def test_a_run_that_was_interrupted_says_so(search) -> None:
    found = search(samples()[:45], state="interrupted")
    assert (found["complete"], found["samples"], found["total"]) == (False, 45, 45)
    assert found["notes"] == ["the run is not finished: this is what its first 45 samples say"]
    assert ("concept", "ant") in kinds(found)


def test_no_labels_have_no_consequence(search) -> None:
    found = search(samples(label=None, label_index=None))
    assert ("concept", "ant") in kinds(found)
    assert {json.dumps(row["evidence"]["consequence"]) for row in found["suspects"]} == {"{}"}


def test_some_labels_count_where_they_are(search) -> None:
    rows = samples()
    for row in rows[:30]:
        row |= {"label": None, "label_index": None}
    found = search(rows)["suspects"][0]["evidence"]["consequence"]
    assert (found["accuracy_with"]["k"], found["accuracy_with"]["n"]) == (10, 10)
    assert (found["called"]["n"], found["called_without"]["n"]) == (0, 20)


def test_equal_predictions_leave_nothing_to_compare_with(search, jobs, tmp_path: Path) -> None:
    found = search(samples(predicted="ant", predicted_index=0))
    assert found["suspects"] == [] and found["chance"]["expected_suspects"] == 0
    assert found["notes"] == ["all predictions are of one class: there is no other class to compare with"]
    said = jobs("suspects", "made", "--store", tmp_path / "store").out  # nothing to test: no model is needed
    assert said.startswith("made: 0 suspects") and "note: all predictions are of one class" in said


def test_a_class_with_one_sample_is_no_suspect(search) -> None:
    rows = samples()
    rows[0] |= {"predicted": "cat", "predicted_index": 2}
    for row in rows:
        if row["predicted"] == "bee" and row["sample_id"] != 1:
            row |= {"predicted": "cat", "predicted_index": 2}
    found = search(rows)
    assert ("concept", "ant") in kinds(found) and "bee" not in {name for _, name in kinds(found)}


@pytest.mark.parametrize("count", [1, 4])
def test_few_samples(search, count: int) -> None:
    assert search(samples()[:count])["suspects"] == []


def test_classes_without_a_name_are_called_by_their_number(search) -> None:
    rows = samples()
    for row in rows:
        number = row["predicted_index"] + 5
        row |= {"predicted": None, "predicted_index": number, "label": None, "label_index": None}
    assert ("concept", "5") in kinds(search(rows))


def test_without_patches_places_are_still_found(search) -> None:
    found = search(samples(patch_tokens=None, patch_states=None))
    assert ("location", "bee") in kinds(found) and not any(kind == "concept" for kind, _ in kinds(found))
    (note,) = found["notes"]
    assert "stored no patches (--patches 0, or an older version)" in note


def test_some_samples_without_patches_or_maps(search) -> None:
    rows = samples()
    for row in rows[:9]:
        row |= {"patch_tokens": None, "patch_states": None}
    for row in rows[6:18]:
        row["map"] = np.zeros(9, np.float32)  # of another grid than the run's
    found = search(rows)
    assert {"9 samples have no patches", "12 samples have no map"} == set(found["notes"])
    (first, *_) = found["suspects"]
    assert (first["kind"], first["class_name"]) == ("concept", "ant")
    assert set(first["sample_ids"]) == set(range(9, COUNT, 3))


def test_maps_without_any_relevancy(search) -> None:
    found = search(samples(map=np.zeros(16, np.float32)))
    assert not any(kind == "location" for kind, _ in kinds(found))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_states_that_are_no_numbers_are_passed_over(search, value: float) -> None:
    rows = samples()
    broken = set(range(0, 24, 3))
    for k in broken:
        states = rows[k]["patch_states"].copy()
        states[:WIDTH] = value  # the first patch, which has the cue
        rows[k]["patch_states"] = states
    rows[1]["patch_states"] = np.full(6 * WIDTH, value, np.float32)  # every patch, and the rest
    rows[4]["map"] = np.full(16, value, np.float32)
    (first, *_) = search(rows)["suspects"]
    assert (first["kind"], first["class_name"]) == ("concept", "ant")
    assert set(first["sample_ids"]) == set(range(0, COUNT, 3)) - broken
    assert np.isfinite([first["score"], *first["cue"]["center"], *np.ravel(first["cue"]["prototypes"])]).all()


def test_columns_of_all_kinds(search) -> None:
    """Numbers, words and booleans are properties; what is empty, constant, or the label again is none."""
    rows = samples(patch_tokens=None, patch_states=None, map=np.ones(16, np.float32))
    for k, row in enumerate(rows):
        ant = k % 3 == 0
        row |= {
            "iso": 800 if ant else 100 + k % 2,
            "exposure": None if k % 5 == 0 else 0.5 if ant else 0.1,
            "flash": ant if k < 55 else None,
            "place": "zoo" if ant and k % 2 else "lab" if k % 4 else "home",
            "kind": "xyz"[k % 3] + "12"[k % 2],
            "empty": None,
            "same": "always",
        }
    types = {"iso": "int64", "exposure": "double", "flash": "bool", "place": "string", "kind": "string"}
    found = search(rows, metadata={**types, "empty": "string", "same": "string"})
    ants = [row for row in found["suspects"] if row["class_name"] == "ant"]
    said = {name for row in ants for name in (row["name"], *row["evidence"]["seen_as"])}
    assert {"iso at least 800", "exposure at least 0.5", "place = zoo"} <= said, said
    assert not any(name.startswith(("kind", "empty", "same")) for name in said)
    assert "column 'kind' is another word for the label: not looked at" in found["notes"]


def test_a_property_that_cannot_be_changed_waits_and_says_why(jobs, audited, copied: Path) -> None:
    found = json.loads(jobs("suspects", "demo", "--store", copied, "--json", "--kind", "property", "--top", 20).out)
    (scanner,) = (row for row in found["suspects"] if row["cue"]["property"] == "scanner")
    assert (scanner["status"], scanner["name"], scanner["flagged"]) == ("unverified", "scanner = old", False)
    assert scanner["evidence"]["untested_because"].startswith("'scanner' cannot be changed in a picture")
    with Store.open(copied).reader("demo") as reader:
        sql = (
            "SELECT sample_id FROM samples JOIN explanations USING (sample_id) WHERE scanner = 'old' AND predicted = ?"
        )
        shown = {row["sample_id"] for row in reader.query(sql, [scanner["class_name"]])}
    assert set(scanner["sample_ids"]) == shown


def test_a_run_without_samples_is_refused(jobs, tmp_path: Path) -> None:
    write(tmp_path / "store", [])
    answer = jobs("suspects", "made", "--store", tmp_path / "store")
    assert_refused(answer, "run 'made' has no explained samples yet", "python -m jobs run")


def test_pairs_of_picture_and_text_are_refused(jobs, tmp_path: Path, clip: str) -> None:
    rows = [{"image": noise(tmp_path / f"{k}.png", k).name, "text": "a cat"} for k in range(3)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = ("--data", tmp_path / "rows.jsonl", "--model", clip, "--workers", 0, "--name", "pairs")
    assert jobs("run", *command, "--store", tmp_path / "s").code == 0
    answer = jobs("suspects", "pairs", "--store", tmp_path / "s")
    assert_refused(answer, "run 'pairs' explains image-text scores", "keeps no vectors of pictures and texts")


def test_detections_are_refused(jobs, tmp_path: Path) -> None:
    for k in range(3):
        noise(tmp_path / f"photos/{k}.png", k, (64, 64))
    model = f"hf:{detr_folder(tmp_path / 'detr')}"
    command = ("--data", tmp_path / "photos", "--model", model, "--workers", 0, "--name", "objects")
    assert jobs("run", *command, "--store", tmp_path / "s").code == 0
    answer = jobs("suspects", "objects", "--store", tmp_path / "s")
    assert_refused(answer, "run 'objects' explains detections", "predicted classes so far")
