"""The search on the whole demo data: planted cues first and proven, nothing flagged on the twin without cues."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.demo.command import PER_SPLIT, SEED, WEIGHTS
from jobs.demo.cues import CUE_CLASSES
from jobs.demo.dataset import write_dataset
from jobs.run import run_audit
from jobs.spec import RunSpec
from jobs.suspects.command import SuspectsResult, find_suspects
from jobs.suspects.spec import SuspectsSpec
from storage import Store

pytestmark = pytest.mark.slow


def search(folder: Path, cues: bool, per_split: int) -> SuspectsResult:
    """Paint, explain and search the demo's scenes, with or without their cues."""
    counts = dict.fromkeys(("aligned", "conflicting", "clean"), per_split)
    manifest = write_dataset(folder, SEED, counts, cues=cues, name="scenes", workers=2)
    store = str(folder / "store")
    run_audit(RunSpec(data=str(manifest), model=f"timm:local-dir:{WEIGHTS / 'vit'}", store=store, name="demo"))
    return find_suspects(SuspectsSpec(run="demo", store=store))


def test_planted_cues_come_first_and_are_verified_and_flagged(tmp_path: Path) -> None:
    found = search(tmp_path, True, PER_SPLIT)
    with Store.open(tmp_path / "store").reader("demo") as reader:
        cue_of = {row["sample_id"]: row["cue"] for row in reader.query("SELECT sample_id, cue FROM samples")}
        assert reader.suspects().rows[0]["id"] == found.suspects[0]["id"]
    first = found.suspects[: len(CUE_CLASSES)]
    assert {row["class_name"] for row in first} == set(CUE_CLASSES.values())
    for row in first:
        (cue,) = (cue for cue, label in CUE_CLASSES.items() if label == row["class_name"])
        assert (row["status"], row["flagged"]) == ("verified", True), row["name"]
        shown = [cue_of[sample] == cue for sample in row["sample_ids"]]
        assert sum(shown[:10]) >= 9 and sum(shown) >= 0.9 * len(shown), cue
        for effect in row["evidence"]["effects"].values():
            assert effect["mean"] > effect["control_mean"], (cue, effect)
        assert any(effect["ratio"] >= 3 for effect in row["evidence"]["effects"].values()), cue
    assert not any(row["flagged"] for row in found.suspects[len(CUE_CLASSES) :])


def test_nothing_is_flagged_on_the_twin_without_cues(tmp_path: Path) -> None:
    found = search(tmp_path, False, PER_SPLIT // 2)
    assert found.suspects and not [row for row in found.suspects if row["flagged"]]
