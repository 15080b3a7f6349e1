"""Image-text problems of the demo are found in a run that sees pictures and captions alone, and none on the twin."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.demo.command import WEIGHTS
from jobs.demo.dataset import write_dataset
from jobs.run import run_audit
from jobs.spec import RunSpec
from jobs.suspects.command import SuspectsResult, find_suspects
from jobs.suspects.spec import SuspectsSpec
from storage import Store
from tests.jobs.conftest import write_manifest

pytestmark = pytest.mark.slow
PLANTED = {"pair_mismatch": "swapped", "pair_mark": "overlay", "pair_cue": "watermark"}
"""Kind of suspect -> `problem` of the painted manifest."""
STOCK = ("photo", "stock")  # captions of watermarked pictures begin so
FIRST = 20
Row = dict[str, Any]


@dataclass(frozen=True)
class Searched:
    """A run of the demo's CLIP named "pairs", what the search found in it, and the problem of each pair."""

    store: Path
    problems: list[str]
    found: SuspectsResult

    def precision(self, row: Row, problem: str) -> float:
        """Share of the first 20 samples of a suspect that have a problem."""
        first = [self.problems[sample] == problem for sample in row["sample_ids"][:FIRST]]
        return sum(first) / len(first)


def searched(folder: Path, seed: int, count: int, cues: bool = True, evidence: bool = True) -> Searched:
    """Paint, explain and search pairs as the demo does, but with nothing besides pictures and captions in the manifest.

    Words are explained through all layers, as a run does unless it is told otherwise: in the last one alone the top
    word is hardly better than a random one.
    """
    painted = write_dataset(folder, seed, {"pairs": count}, cues=cues, name="painted", workers=2)
    with painted.open(newline="") as file:
        rows = list(csv.DictReader(file))
    data = write_manifest(folder / "bare.csv", [{"image": row["image"], "text": row["text"]} for row in rows])
    store = str(folder / "store")
    spec = RunSpec(
        data=str(data),
        model=f"open_clip:local-dir:{WEIGHTS / 'clip'}",
        store=store,
        target="clip-score",
        evidence=evidence,
        name="pairs",
        workers=0,
        device="cpu",
    )
    run_audit(spec)
    found = find_suspects(SuspectsSpec("pairs", store=store, device="cpu"))
    return Searched(folder / "store", [row["problem"] for row in rows], found)


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """With all problems."""
    return searched(tmp_path_factory.mktemp("painted"), 11, 300)


def planted_suspect(one: Searched, kind: str) -> Row:
    """The best suspect of a kind; of cues, the one about stock photos."""
    rows = [row for row in one.found.suspects if row["kind"] == kind]
    return next(row for row in rows if kind != "pair_cue" or row["class_name"] in STOCK)


@pytest.mark.parametrize("kind", PLANTED)
def test_planted_problems_are_found_and_proven(painted: Searched, kind: str) -> None:
    assert painted.problems.count(PLANTED[kind]) > FIRST
    row = planted_suspect(painted, kind)
    assert row["n"] >= 0.5 * painted.problems.count(PLANTED[kind])
    assert painted.precision(row, PLANTED[kind]) >= 0.9
    assert (row["status"], row["flagged"]) == ("verified", True), row["evidence"]["effects"]
    for effect in row["evidence"]["effects"].values():
        assert effect["mean"] > effect["control_mean"], effect
    assert any(effect["verdict"] == "verified" for effect in row["evidence"]["effects"].values())


def test_nothing_else_is_flagged(painted: Searched) -> None:
    planted = [planted_suspect(painted, kind)["id"] for kind in PLANTED]
    assert [row["name"] for row in painted.found.suspects if row["flagged"] and row["id"] not in planted] == []


def test_planted_problems_come_first(painted: Searched) -> None:
    assert max(planted_suspect(painted, kind)["rank"] for kind in PLANTED) <= 5


def test_the_twin_without_banners_and_watermarks_has_swapped_captions_alone(tmp_path: Path) -> None:
    twin = searched(tmp_path, 11, 240, cues=False, evidence=False)
    assert set(twin.problems) == {"none", "swapped"}
    flagged = [row for row in twin.found.suspects if row["flagged"]]
    assert [row["kind"] for row in flagged] == ["pair_mismatch"]
    assert twin.precision(flagged[0], "swapped") >= 0.9
    assert not [row for row in twin.found.suspects if row["class_name"] in STOCK]


# --- deletion ---------------------------------------------------------------------------------------------------------


def medians(one: Searched, name: str) -> tuple[float, float]:
    """Median fall of the scores of pairs without a problem: of what is most relevant, and of as much at random."""
    with Store.open(one.store).reader("pairs") as reader:
        rows = reader.query(f"SELECT sample_id, {name} AS top, {name}_random AS random FROM explanations")
    known = [row for row in rows if row["random"] is not None and one.problems[row["sample_id"]] == "none"]
    assert len(known) >= 150
    return float(np.median([row["top"] for row in known])), float(np.median([row["random"] for row in known]))


@pytest.mark.parametrize("drop", ["drop_mean", "drop_blur", "drop_word"])
def test_the_score_hangs_on_the_relevant_patches_and_words(painted: Searched, drop: str) -> None:
    top, random = medians(painted, drop)
    assert top > 0.05 and top >= 2 * random
