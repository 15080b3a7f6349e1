"""The figures of the search on real photos, on constructed lists of suspects."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.spurious.real import Photos, score
from benchmarks.suspects_scale import command_row, search_row

CUES = np.array(["tag"] * 6 + ["frame"] * 6 + ["none"] * 8)
HOSTS = np.array(["bird"] * 6 + ["marine"] * 6 + [""] * 8)
PREDICTED = np.array(["bird"] * 5 + ["plant"] + ["marine"] * 6 + ["bird"] * 4 + ["plant"] * 4)
PHOTOS = Photos([f"{k}.jpg" for k in range(20)], ["bird"] * 20, CUES, HOSTS)


def suspect(rank: int, samples: list[int], status: str = "verified", flagged: bool = False) -> dict[str, Any]:
    effects = {"removal": {"ratio": 7.5}}
    evidence = {"effects": effects, "expected_by_chance": 0.25}
    return {"rank": rank, "sample_ids": samples, "status": status, "flagged": flagged, "evidence": evidence}


def test_figures_of_a_perfect_list() -> None:
    row = score(
        [suspect(1, [6, 7, 8, 9, 10, 11], flagged=True), suspect(2, [0, 1, 2, 3, 4])], PHOTOS, PREDICTED, "strong"
    )
    assert (row["driven"], row["ap"], row["auroc"]) == (11, 1.0, 1.0)
    assert row["rank_by_kind"] == {"tag": 2, "frame": 1, "sticker": None}
    assert row["precision_at_10_by_kind"] == {"tag": 1.0, "frame": 1.0, "sticker": None}
    assert row["status_by_kind"]["frame"] == "verified, flagged" and row["status_by_kind"]["tag"] == "verified"
    assert row["effect_over_control_by_kind"]["tag"] == {"removal": 7.5} and row["expected_by_chance"] == 0.5
    assert (row["verified_false"], row["flagged"], row["flagged_false"]) == ([], 1, 0)


def test_an_honest_part_above_a_cue_costs() -> None:
    row = score(
        [suspect(1, [12, 13, 14, 15], flagged=True), suspect(2, [0, 1, 2, 3, 4, 5])], PHOTOS, PREDICTED, "strong"
    )
    assert row["ap"] == 0.5 and row["flagged_false"] == 1
    assert row["precision_at_10_by_kind"]["tag"] == pytest.approx(
        5 / 6, abs=1e-3
    )  # one of its photos is called a plant
    # driven photos: 5 of rank 2, 6 of none; others: 4 of rank 1, 1 of rank 2, 4 of none
    wins = 5 * (4 + 0.5) + 6 * 0.5 * 4
    assert row["auroc"] == pytest.approx(wins / (11 * 9), abs=1e-4)


def test_a_planted_cue_that_is_not_used_must_not_be_verified() -> None:
    found = [suspect(1, [0, 1, 2, 3, 4])]
    assert score(found, PHOTOS, PREDICTED, "weak")["verified_false"] == ["tag"]
    assert score([suspect(1, [0, 1, 2, 3, 4], "refuted")], PHOTOS, PREDICTED, "weak")["verified_false"] == []
    assert score(found, PHOTOS, PREDICTED, "strong")["verified_false"] == []


def test_the_manifest_for_the_job_tells_nothing_of_cues(tmp_path: Path) -> None:
    fields = ("path", "split", "label", "artefact", "artefact_class")
    with (tmp_path / "manifest.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, fields)
        writer.writeheader()
        writer.writerow(dict(zip(fields, ("a.jpg", "test", "bird", "tag", "bird"), strict=True)))
        writer.writerow(dict(zip(fields, ("b.jpg", "train", "bird", "none", ""), strict=True)))
    photos = Photos.read(tmp_path, "test")
    assert photos.labels == ["bird"] and photos.cues.tolist() == ["tag"]
    text = photos.write(tmp_path / "for the job.csv").read_text()
    assert text == f"image,label\n{tmp_path / 'a.jpg'},bird\n"


def test_growth_is_measured_on_what_has_suspects() -> None:
    small = search_row(300, 3)
    assert small["suspects"] >= 3 and small["candidates"] >= small["suspects"] and small["seconds"] > 0
    whole = command_row(300, 3)
    assert whole["suspects"] == small["suspects"]
