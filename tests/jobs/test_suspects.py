"""`python -m jobs suspects`: the document, the list, its options, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.suspects.listing import ORDER
from storage import Store
from tests.jobs.conftest import Audited, assert_refused
from tests.storage import audit

KEYS = {
    "id", "rank", "kind", "name", "class_name", "class_index", "n", "share", "score", "status", "flagged", "evidence",
    "cue", "sample_ids",
}  # fmt: skip


def stored(store: Path) -> list[dict[str, Any]]:
    with Store.open(store).reader("demo") as reader:
        return reader.suspects().rows


def place(row: dict[str, Any]) -> int:
    return 0 if row["flagged"] else ORDER[row["status"]]


def test_the_document(jobs, audited: Audited, copied: Path) -> None:
    answer = jobs("suspects", "demo", "--store", copied, "--json")
    assert answer.code == 0
    document = json.loads(answer.out)
    rows = document["suspects"]
    assert document["run"] == "demo" and document["store"] == str(copied)
    assert (document["samples"], document["total"], document["complete"]) == (90, 90, True)
    assert len(rows) >= 6 and [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert len({row["id"] for row in rows}) == len(rows)
    names = json.loads((audited.store / "runs/demo/run.json").read_text())["model"]["class_names"]
    with Store.open(copied).reader("demo") as reader:
        samples = {
            row["sample_id"]: row
            for row in reader.query("SELECT sample_id, uri, predicted FROM samples JOIN explanations USING (sample_id)")
        }
    sizes = Counter(row["predicted"] for row in samples.values())
    for row in rows:
        assert set(row) == KEYS | {"sample_uris"}
        assert row["class_name"] == names[row["class_index"]]
        assert row["sample_uris"] == [samples[i]["uri"] for i in row["sample_ids"]]
        assert all((audited.data.parent / uri).is_file() for uri in row["sample_uris"])
        assert {samples[i]["predicted"] for i in row["sample_ids"]} == {row["class_name"]}
        assert row["n"] == len(row["sample_ids"]) == len(set(row["sample_ids"]))
        assert row["share"] == row["n"] / sizes[row["class_name"]]
        assert row["kind"] in document["chance"]["kinds"]


def test_the_order_is_flagged_verified_unverified_refuted(audited: Audited) -> None:
    rows = audited.found["suspects"]
    order = [(place(row), -row["score"]) for row in rows]
    assert order == sorted(order) and len({key for key, _ in order}) >= 3, order
    assert rows[0]["flagged"] and rows[0]["status"] == "verified"


def test_the_stored_rows_are_the_printed_ones(audited: Audited) -> None:
    printed = [{name: row[name] for name in KEYS} for row in audited.found["suspects"]]
    assert stored(audited.store) == printed
    with Store.open(audited.store).reader("demo") as reader:
        about = reader.suspects().about
    assert about["done"] and about["samples"] == 90 and about["complete"] and about["target"] == "predicted"
    assert about["chance"] == audited.found["chance"] and about["notes"] == audited.found["notes"]
    assert about["settings"]["photos"] == 20 and about["settings"]["seed"] == 0


def test_samples_come_strongest_first(audited: Audited) -> None:
    """What the cue says of the stored patches falls along the list of samples."""
    with Store.open(audited.store).reader("demo") as reader:
        (width,) = reader.patch_widths
        table = reader.query(f"SELECT sample_id, vec FROM patches_{width} WHERE slot BETWEEN 0 AND 4")
    states: dict[int, list[np.ndarray]] = {}
    for row in table:
        states.setdefault(row["sample_id"], []).append(np.array(row["vec"]))
    rows = [row for row in audited.found["suspects"] if row["kind"] == "concept"]
    assert rows
    for row in rows:
        cue = row["cue"]
        prototype, center = np.array(cue["prototypes"][0]), np.array(cue["center"])
        units = [np.stack(states[i]) - center for i in row["sample_ids"]]
        best = [(u / np.linalg.norm(u, axis=1, keepdims=True) @ prototype).max() for u in units]
        assert best[-1] >= cue["cut"] - 1e-3 and (np.diff(best) <= 1e-3).all(), row["name"]


def test_properties_and_words_for_the_label(audited: Audited) -> None:
    """A planted column is found, or seen in the same photos; one that repeats the label is left out with a note."""
    said = [name for row in audited.found["suspects"] for name in (row["name"], *row["evidence"]["seen_as"])]
    assert "scanner = old" in said
    assert not any("synset" in name for name in said)
    assert "column 'synset' is another word for the label: not looked at" in audited.found["notes"]


def test_boxes_lie_in_the_picture_around_the_cue(audited: Audited) -> None:
    tested = [row for row in audited.found["suspects"] if row["cue"]["boxes"]]
    assert tested
    for row in tested:
        assert {int(sample) for sample in row["cue"]["boxes"]} <= set(row["sample_ids"])
        assert all(0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 for x0, y0, x1, y1 in row["cue"]["boxes"].values())


def test_the_list_for_people(jobs, audited: Audited, copied: Path) -> None:
    answer = jobs("suspects", "demo", "--store", copied)
    rows = audited.found["suspects"]
    lines = answer.out.splitlines()
    assert answer.code == 0 and lines[0].startswith(f"demo: {len(rows)} suspects in 90 samples")
    heads = [line for line in lines if line.strip().split(".")[0].isdigit()]
    assert len(heads) == len(rows)
    for line, row in zip(heads, rows, strict=True):
        assert f"{row['class_name']}: {row['name']} ({row['kind']}, {row['n']} photos" in line
        assert line.endswith(row["status"]) and ("PROBABLY SPURIOUS" in line) == row["flagged"]
    expected = audited.found["chance"]["expected_suspects"]
    assert f"by chance alone one would expect {expected:.1f} such suspects (5 runs" in answer.out
    assert "note: column 'synset'" in answer.out and "removing it lowers p by" in answer.out


def test_without_a_name_the_newest_run_is_searched(jobs, audited: Audited, copied: Path) -> None:
    with Store.open(copied).writer("newer", audit.record()) as writer:
        audit.commit(writer, 0)
        writer.finish()
    options = ("--store", copied, "--no-verify", "--permutations", 0, "--json")
    assert json.loads(jobs("suspects", *options).out)["run"] == "newer"
    shutil.rmtree(copied / "runs/newer")
    assert json.loads(jobs("suspects", *options).out)["run"] == "demo"


def test_without_verification_neither_model_nor_data_are_needed(jobs, audited: Audited, copied: Path) -> None:
    (copied / "runs/demo/suspects.parquet").unlink()
    options = ("--data", "/nowhere", "--model", "timm:local-dir:/nowhere")
    answer = jobs("suspects", "demo", "--store", copied, "--no-verify", "--json", *options)
    rows = json.loads(answer.out)["suspects"]
    assert {row["id"] for row in rows} == {row["id"] for row in audited.found["suspects"]}
    assert {(row["status"], row["flagged"]) for row in rows} == {("unverified", False)}
    assert not any("tested_on" in row["evidence"] or "effects" in row["evidence"] for row in rows)
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    assert stored(copied) == [{name: row[name] for name in KEYS} for row in rows]


@pytest.mark.parametrize("top", [0, 3])
def test_top(jobs, audited: Audited, copied: Path, top: int) -> None:
    answer = jobs("suspects", "demo", "--store", copied, "--top", top, "--json")
    rows = json.loads(answer.out)["suspects"]
    best = sorted(audited.found["suspects"], key=lambda row: -row["score"])
    assert answer.code == 0 and {row["id"] for row in rows} == {row["id"] for row in best[:top]}
    assert len(stored(copied)) == top
    for row in rows:
        (before,) = (one for one in audited.found["suspects"] if one["id"] == row["id"])
        assert row["evidence"]["effects"] == before["evidence"]["effects"]
    plain = jobs("suspects", "demo", "--store", copied, "--top", top)
    assert plain.out.startswith(f"demo: {top} suspects") and ("by chance" in plain.out) == bool(top)


@pytest.mark.parametrize("kinds", [("concept",), ("location", "word"), ("property", "concept")])
def test_kinds(jobs, copied: Path, kinds: tuple[str, ...]) -> None:
    (copied / "runs/demo/suspects.parquet").unlink()
    options = [word for kind in kinds for word in ("--kind", kind)]
    answer = jobs("suspects", "demo", "--store", copied, "--no-verify", "--json", *options)
    document = json.loads(answer.out)
    assert {row["kind"] for row in document["suspects"]} == set(kinds) - {"word"}  # pictures have no words
    assert set(document["chance"]["kinds"]) == set(kinds)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kind", "concpt"], ["unknown kind of suspect 'concpt'", "did you mean concept?"]),
        (
            ["--kind", "pair_mark"],
            ["--kind pair_mark is not for runs of classes", "concept, location, property, word are"],
        ),
        (["--kind", "colour"], ["unknown kind of suspect 'colour'", "concept, location, property, word"]),
        (["--top", "-1"], ["--top -1", "at least 0"]),
        (["--top", "many"], ["'--top'", "valid integer"]),
        (["--photos", "1"], ["--photos 1", "at least 2"]),
        (["--permutations", "-1"], ["--permutations -1", "at least 0"]),
        (["--sample", "0"], ["--sample 0", "at least 1"]),
        (["--batch-size", "0"], ["--batch-size 0", "at least 1"]),
        (["--seed", "-1"], ["--seed -1", "at least 0"]),
        (["--device", "abacus", "--again"], ["--device abacus"]),
        (["--verfy"], ["No such option", "--verify"]),
    ],
)
def test_wrong_use(jobs, copied: Path, options: list[str], words: list[str]) -> None:
    before = (copied / "runs/demo/suspects.parquet").read_bytes()
    assert_refused(jobs("suspects", "demo", "--store", copied, *options), *words)
    assert (copied / "runs/demo/suspects.parquet").read_bytes() == before


def test_unknown_run_and_store(jobs, audited: Audited, tmp_path: Path) -> None:
    assert_refused(jobs("suspects", "dmeo", "--store", audited.store), "no run 'dmeo'", "did you mean 'demo'")
    assert_refused(jobs("suspects", "--store", tmp_path / "none"), "there is no store", "python -m jobs run")
    Store.open(tmp_path / "empty", create=True)
    assert_refused(jobs("suspects", "--store", tmp_path / "empty"), "has no runs yet", "python -m jobs run")
    assert_refused(jobs("suspects", "demo", "--store", tmp_path / "empty"), "no run 'demo'", "no runs yet")


def test_a_sample_of_the_samples_is_noted(jobs, copied: Path) -> None:
    options = ("--sample", 60, "--no-verify", "--json", "--seed", 3)
    document = json.loads(jobs("suspects", "demo", "--store", copied, *options).out)
    assert (document["samples"], document["total"]) == (60, 90)
    assert "searched in 60 of 90 samples, chosen at random (--sample)" in document["notes"]
    again = json.loads(jobs("suspects", "demo", "--store", copied, *options).out)
    assert [row["sample_ids"] for row in again["suspects"]] == [row["sample_ids"] for row in document["suspects"]]


def test_a_damaged_list_is_made_anew(jobs, audited: Audited, copied: Path) -> None:
    (copied / "runs/demo/suspects.parquet").write_bytes(b"PAR1 and then nothing")
    answer = jobs("suspects", "demo", "--store", copied, "--no-verify", "--json")
    assert answer.code == 0
    assert {row["id"] for row in stored(copied)} == {row["id"] for row in audited.found["suspects"]}
