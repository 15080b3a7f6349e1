"""The same command gives the same store; how it is computed (batches, workers, threads, parts) does not show.

`python -m tests.reliability.determinism` is the larger table: every family with every method, and more that varies.
That a Ray cluster of two workers, one of them killed, makes the same store as this process is tests/jobs/test_ray.py.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jobs.demo.command import SEED, WEIGHTS
from jobs.demo.dataset import write_dataset
from jobs.evaluate.command import evaluate
from jobs.evaluate.spec import EvaluateSpec
from jobs.run import run_audit
from jobs.spec import RunSpec
from jobs.suspects.command import find_suspects
from jobs.suspects.spec import SuspectsSpec
from storage import Store, read_faithfulness
from tests.reliability.repeated import FAMILIES, RUN, audit, copied_backwards, write_model, write_samples
from tests.reliability.same_store import Difference, difference

NEAR = 1e-5
SAMPLES = 9


@dataclass(frozen=True)
class Made:
    """A family's model, the samples, and a run of them."""

    family: str
    manifest: Path
    model: str
    base: Path


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_samples(tmp_path_factory.mktemp("repeated") / "samples", SAMPLES)


def made(family: str, samples: Path, folder: Path, **options: Any) -> Made:
    model = write_model(family, folder / "model")
    return Made(family, samples, model, audit(family, samples, model, folder / "base", **options))


@pytest.fixture(scope="module")
def vit(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made("vit", samples, tmp_path_factory.mktemp("vit"))


def against(one: Made, store: Path, **varied: Any) -> Difference:
    manifest = varied.pop("manifest", one.manifest)
    return difference(audit(one.family, manifest, one.model, store, **varied), one.base, RUN)


def test_the_comparison_sees_a_changed_digit(vit: Made, tmp_path: Path) -> None:
    other = against(vit, tmp_path / "other", method="raw_attention")
    assert not other.equal and other.largest > 1e-3 and other.peak > 0.01
    assert any(name.startswith("map_image_") for name in other.columns)
    fewer = against(vit, tmp_path / "fewer", limit=SAMPLES - 1)
    assert any("rows" in name for name in fewer.other) and fewer.largest == float("inf")


@pytest.mark.parametrize(
    "varied", [{}, {"workers": 2}, {"manifest": "backwards"}], ids=["again", "two workers", "order of files"]
)
def test_what_changes_nothing_to_the_bit(vit: Made, tmp_path: Path, varied: dict[str, Any]) -> None:
    if "manifest" in varied:
        varied = {"manifest": copied_backwards(vit.manifest, tmp_path / "backwards")}
    found = against(vit, tmp_path / "other", **varied)
    assert found.equal, str(found)
    assert found.rows > 10 * SAMPLES


@pytest.mark.parametrize("varied", [{"batch_size": 1}, {"batch_size": 8}, {"threads": 3}], ids=lambda v: str(v))
def test_what_may_change_the_last_bits(vit: Made, tmp_path: Path, varied: dict[str, Any]) -> None:
    found = against(vit, tmp_path / "other", **varied)
    assert found.largest <= NEAR, str(found)


def test_a_run_that_was_stopped_equals_one_that_was_not(vit: Made, tmp_path: Path) -> None:
    whole = audit(vit.family, vit.manifest, vit.model, tmp_path / "whole", part_size=2)
    stopped = audit(vit.family, vit.manifest, vit.model, tmp_path / "stopped", part_size=2, stops=True)
    found = difference(stopped, whole, RUN)
    assert found.equal, str(found)
    parts = difference(whole, vit.base, RUN)
    assert parts.largest <= NEAR, str(parts)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "vit"])
def test_families(family: str, samples: Path, tmp_path: Path) -> None:
    one = made(family, samples, tmp_path)
    if (
        family == "clip pairs"
    ):  # words, evidence and shuffled scores beside the maps; the command repeats the others too
        again = against(one, tmp_path / "again")
        assert again.equal, str(again)
    found = against(one, tmp_path / "other", batch_size=1)
    assert found.largest <= NEAR, str(found)
    with Store.open(one.base).reader(RUN) as reader:
        failures = {row["sample_id"]: row["reason"] for row in reader.query("FROM failures")}
    assert 1 in failures and len(failures) <= 2, (
        failures
    )  # the one that is spoilt; a detector may find nothing in another


@pytest.mark.parametrize("method", ["rollout", "lrp"])
def test_methods(method: str, samples: Path, tmp_path: Path) -> None:
    one = made("vit", samples, tmp_path, method=method)
    found = against(one, tmp_path / "other", method=method, batch_size=1)
    assert found.largest <= NEAR, str(found)


# -- what is computed from a run ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run of the demo's trained model on a few scenes with planted cues."""
    folder = tmp_path_factory.mktemp("scenes")
    data = write_dataset(folder / "data", SEED, dict.fromkeys(("aligned", "conflicting", "clean"), 10))
    model = f"timm:local-dir:{shutil.copytree(WEIGHTS / 'vit', folder / 'vit')}"
    run_audit(RunSpec(str(data), model, store=str(folder / "store"), workers=0, device="cpu", name=RUN, batch_size=8))
    return folder / "store"


def searched(store: Path, **options: Any) -> dict[str, Any]:
    given = {"photos": 4, "permutations": 1, "top": 2, "again": True, "device": "cpu", **options}
    document = find_suspects(SuspectsSpec(store=str(store), **given)).to_json()
    return {name: document[name] for name in ("run", "suspects", "chance")}


def near(mine: Any, other: Any, where: str = "") -> None:
    """Equal, numbers within 1e-5."""
    if isinstance(mine, dict) and isinstance(other, dict):
        assert mine.keys() == other.keys(), where
        for name, value in mine.items():
            near(value, other[name], f"{where}.{name}")
    elif isinstance(mine, list) and isinstance(other, list):
        assert len(mine) == len(other), where
        for number, (one, two) in enumerate(zip(mine, other, strict=True)):
            near(one, two, f"{where}[{number}]")
    elif isinstance(mine, float) and isinstance(other, float):
        assert mine == pytest.approx(other, abs=NEAR, rel=NEAR, nan_ok=True), where
    else:
        assert mine == other, where


def test_the_list_of_suspects(scenes: Path, tmp_path: Path) -> None:
    first = searched(scenes)
    assert first["suspects"] and any(row["evidence"]["effects"] for row in first["suspects"])
    copy = shutil.copytree(scenes, tmp_path / "store")
    assert json.dumps(searched(copy)) == json.dumps(first)
    near(searched(copy, batch_size=5), first)


def test_the_figures_of_an_evaluation(scenes: Path, tmp_path: Path) -> None:
    def figures(**options: Any) -> list[dict[str, Any]]:
        store = shutil.copytree(scenes, tmp_path / f"store-{len(list(tmp_path.iterdir()))}")
        protocols = ("vit", "segmentation")
        given = {"protocols": protocols, "methods": ("gae",), "samples": 3, "device": "cpu", **options}
        evaluate(EvaluateSpec(store=str(store), **given))
        return read_faithfulness(Store.open(store).layout_of(RUN))

    first = figures()
    assert {row["method"] for row in first} >= {"gae"} and {row["n"] for row in first} <= {0, 3}
    assert json.dumps(figures()) == json.dumps(first)
    near(figures(batch_size=3), first)


def test_a_report(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """But for the minute in which it was made."""
    from dashboard.report.__main__ import main as report

    if not Store.open(scenes).layout_of(RUN).suspects.exists():
        searched(scenes)
    pages = []
    for number in range(2):
        out = tmp_path / f"{number}.html"
        assert report([RUN, "--store", str(scenes), "--out", str(out)]) == 0
        pages.append(re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d", "WHEN", out.read_text()))
    assert "WHEN" in pages[0] and pages[0] == pages[1]
