"""Suspects of a run whose data or model moved, changed or went away; and what a second search does not do again."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from storage import Store, write_suspects
from tests.jobs.conftest import Audited, assert_refused, save_vit, write_manifest

FEW = ("--top", 2, "--photos", 6, "--permutations", 1)


@pytest.fixture
def moved(audited: Audited, copied: Path, tmp_path: Path) -> Audited:
    """The same run, whose record names data and a model that are not there any more."""
    data, model = (
        shutil.copytree(audited.data.parent, tmp_path / "data"),
        shutil.copytree(audited.model.removeprefix("timm:local-dir:"), tmp_path / "vit"),
    )
    record = copied / "runs/demo/run.json"
    text = record.read_text().replace(str(audited.data.parent), str(tmp_path / "gone"))
    record.write_text(text.replace(audited.model, f"timm:local-dir:{tmp_path}/gone/vit"))
    (copied / "runs/demo/suspects.parquet").unlink()
    return Audited(data / audited.data.name, f"timm:local-dir:{model}", copied, audited.found)


def document(answer: Any) -> dict[str, Any]:
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def test_what_moved_is_named_and_can_be_given(jobs, moved: Audited) -> None:
    command = ("suspects", "demo", "--store", moved.store, *FEW)
    assert_refused(jobs(*command), "gone/scenes.csv: no such file", "run 'demo'", "--data", "--no-verify")
    data = ("--data", moved.data)
    assert_refused(jobs(*command, *data), "gone/vit", "run 'demo'", "--model", "--no-verify")
    rows = document(jobs(*command, *data, "--model", moved.model, "--json"))["suspects"]
    assert [row["evidence"]["tested_on"] for row in rows] == [6, 6]
    assert all(row["evidence"]["effects"] for row in rows if row["kind"] == "concept")


def test_other_data_are_refused(jobs, moved: Audited, photos: Path) -> None:
    command = ("suspects", "demo", "--store", moved.store, "--model", moved.model, *FEW)
    assert_refused(jobs(*command, "--data", photos), str(photos), "is not what run 'demo' was made from", "--data")
    moved.data.write_text(moved.data.read_text() + "\n")
    assert_refused(jobs(*command, "--data", moved.data), "its files differ", "--no-verify")


def test_other_weights_are_refused(jobs, moved: Audited, tmp_path: Path) -> None:
    other = f"timm:local-dir:{save_vit(tmp_path / 'other', ['cat', 'dog', 'fox'])}"
    command = ("suspects", "demo", "--store", moved.store, "--data", moved.data, *FEW)
    assert_refused(jobs(*command, "--model", other), "is not what run 'demo' was made with", "--model")
    weights = Path(moved.model.removeprefix("timm:local-dir:")) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1  # one bit
    weights.write_bytes(content)
    assert_refused(jobs(*command, "--model", moved.model), "its weights differ", "--no-verify")
    assert_refused(jobs(*command, "--checkpoint", tmp_path / "none.pt"), "none.pt", "no such file")


def test_a_second_call_tests_nothing_anew(jobs, moved: Audited, audited: Audited) -> None:
    """Not even where data and model are gone: nothing of them is opened."""
    shutil.copy(audited.store / "runs/demo/suspects.parquet", moved.store / "runs/demo/suspects.parquet")
    again = document(jobs("suspects", "demo", "--store", moved.store, "--json"))
    assert again["suspects"] == audited.found["suspects"]


def test_again_and_other_numbers_of_photos_test_anew(jobs, audited: Audited, copied: Path) -> None:
    """What was tested is recognised by a mark that only a new test takes away."""
    with Store.open(copied).reader("demo") as reader:
        kept = reader.suspects()
        marked = [{**row, "evidence": {**row["evidence"], "untested_because": "a mark"}} for row in kept.rows]
        write_suspects(reader.run, marked, kept.about)
    command = ("suspects", "demo", "--store", copied, "--top", 2, "--json")
    reasons = [row["evidence"]["untested_because"] for row in document(jobs(*command))["suspects"]]
    assert reasons == ["a mark"] * 2
    fresh = document(jobs(*command, "--again"))["suspects"]
    before = {row["id"]: row for row in audited.found["suspects"]}
    assert [row["evidence"] for row in fresh] == [before[row["id"]]["evidence"] for row in fresh]
    fewer = document(jobs(*command, "--photos", 6))["suspects"]
    assert [(row["id"], row["evidence"]["tested_on"]) for row in fewer] == [(row["id"], 6) for row in fresh]


def test_again_says_so_where_the_model_is_gone_and_the_list_stays(jobs, moved: Audited, audited: Audited) -> None:
    kept = moved.store / "runs/demo/suspects.parquet"
    shutil.copy(audited.store / "runs/demo/suspects.parquet", kept)
    before = kept.read_bytes()
    assert_refused(jobs("suspects", "demo", "--store", moved.store, "--again", "--data", moved.data), "--model")
    assert kept.read_bytes() == before


def test_pictures_that_vanished_are_passed_over(jobs, moved: Audited) -> None:
    """A manifest stays the same without its pictures. With too few of them there is a reason in place of a test."""
    command = ("suspects", "demo", "--store", moved.store, "--data", moved.data, "--model", moved.model, "--again")
    options = ("--kind", "concept", "--top", 1, "--photos", 200, "--json")
    (whole,) = document(jobs(*command, *options))["suspects"]
    (effects,) = [whole["evidence"]["effects"]]
    gone = whole["sample_uris"][:2]
    for uri in gone:
        (moved.data.parent / uri).unlink()
    (fewer,) = document(jobs(*command, *options))["suspects"]
    assert fewer["id"] == whole["id"]
    assert fewer["evidence"]["effects"]["removal"]["n"] == effects["removal"]["n"] - 2
    assert not {str(i) for i in whole["sample_ids"][:2]} & set(fewer["cue"]["boxes"])
    for uri in whole["sample_uris"][3:]:
        (moved.data.parent / uri).write_text("not a picture")
    (none,) = document(jobs(*command, *options))["suspects"]
    assert none["status"] == "unverified" and none["evidence"]["effects"] == {}
    assert none["evidence"]["untested_because"] == "only 1 of its pictures can be read"
    assert "not tested: only 1 of its pictures can be read" in jobs(*command, *options[:-1]).out


def test_masks_that_vanished_leave_the_object_unknown(jobs, moved: Audited) -> None:
    command = ("suspects", "demo", "--store", moved.store, "--data", moved.data, "--model", moved.model, "--again")
    options = ("--kind", "concept", "--top", 1, "--photos", 6, "--json")
    (known,) = document(jobs(*command, *options))["suspects"]
    assert 0 <= known["evidence"]["object_share"] <= 1 and 0 < known["evidence"]["object_usual"] < 1
    shutil.rmtree(moved.data.parent / "masks")
    (unknown,) = document(jobs(*command, *options))["suspects"]
    assert unknown["evidence"]["object_share"] is None and unknown["evidence"]["object_usual"] is None
    assert unknown["evidence"]["effects"] == known["evidence"]["effects"]


def test_a_run_with_a_limit_finds_its_data_again(jobs, audited: Audited, tmp_path: Path) -> None:
    with audited.data.open(newline="") as file:
        rows = list(csv.DictReader(file))
    data = write_manifest(audited.data.parent / "copy.csv", rows)
    run = ("run", "--data", data, "--model", audited.model, "--store", tmp_path / "s", "--workers", 0, "--limit", 40)
    assert jobs(*run).code == 0
    found = document(jobs("suspects", "--store", tmp_path / "s", "--json", *FEW))
    assert found["samples"] == 40 and all("tested_on" in row["evidence"] for row in found["suspects"])
    assert found["suspects"]
