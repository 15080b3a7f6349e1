"""A search that is killed, interrupted, started twice, or begun while the run is still being made."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from jobs.cli import main
from storage import Store, Suspects, read_suspects
from tests.jobs.conftest import Audited
from tests.jobs.processes import Command, Start, until

pytestmark = pytest.mark.slow


def kept(store: Path) -> Suspects:
    return read_suspects(Store.open(store).layout_of("demo"))


def photos_of(store: Path) -> dict[str, int]:
    """Photos that each suspect was tested on, of those that were tested."""
    return {row["id"]: row["evidence"]["tested_on"] for row in kept(store).rows if "tested_on" in row["evidence"]}


@pytest.fixture
def untested(copied: Path) -> Path:
    """The audited store without its list of suspects."""
    (copied / "runs/demo/suspects.parquet").unlink()
    return copied


@pytest.fixture
def testing(start: Start, untested: Path) -> Command:
    """A search that has tested one suspect or two and stands still."""
    search = start("suspects", "demo", "--store", untested, "--json")
    until(search, lambda: kept(untested).about.get("done") is False)
    search.kill(signal.SIGSTOP)
    assert 0 < len(photos_of(untested)) < len(kept(untested).rows)
    return search


def test_a_killed_search_leaves_a_list_and_the_next_goes_on(
    start: Start, testing: Command, untested: Path, audited: Audited
) -> None:
    testing.kill(signal.SIGKILL)
    assert testing.wait() == -signal.SIGKILL
    left, done = kept(untested), photos_of(untested)
    assert left.about["done"] is False and left.about["samples"] == 90
    assert {row["id"] for row in left.rows} == {row["id"] for row in audited.found["suspects"]}
    assert [row["rank"] for row in left.rows] == list(range(1, len(left.rows) + 1))
    evidence = {row["id"]: row["evidence"] for row in left.rows}
    second = start("suspects", "demo", "--store", untested, "--json")
    until(second, lambda: len(photos_of(untested)) > len(done))
    for row in kept(untested).rows:
        if row["id"] in done:
            assert row["evidence"] == evidence[row["id"]]
    assert second.wait() == 0, second.stderr.read_text()
    assert json.loads(second.stdout.read_text())["suspects"] == audited.found["suspects"]
    assert kept(untested).about["done"] is True


def test_ctrl_c_says_what_is_kept(testing: Command, untested: Path) -> None:
    os.killpg(testing.pid, signal.SIGINT)
    testing.kill(signal.SIGCONT)
    assert testing.wait() == 130
    said = testing.stderr.read_text().splitlines()
    count = len(photos_of(untested))
    assert said == [f"interrupted, {count} tested suspects are kept, run the same command to go on"]
    assert 0 < count < len(kept(untested).rows) and testing.stdout.read_text() == ""


def test_a_second_search_is_refused_by_name(
    testing: Command, untested: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["suspects", "demo", "--store", str(untested)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert "list of suspects of run 'demo' is being written" in said.err and f"process {testing.pid}" in said.err
    testing.kill(signal.SIGTERM)
    testing.kill(signal.SIGCONT)
    assert testing.wait() == 130


def test_a_run_in_progress_is_searched_as_far_as_it_is(start: Start, audited: Audited, tmp_path: Path) -> None:
    """And when it is whole, suspects that are found again keep their ids."""
    store = tmp_path / "growing"
    run = ["run", "--data", audited.data, "--model", audited.model, "--store", store, "--name", "demo"]
    run += ["--workers", 0, "--part-size", 6, "--batch-size", 6, "--device", "cpu"]
    search = ["suspects", "demo", "--store", store, "--json", "--photos", 6, "--top", 4]
    job = start(*run)
    until(job, lambda: len(list(store.glob("runs/*/parts/*.json"))) >= 9)
    job.kill(signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    committed = 6 * len(list(store.glob("runs/*/parts/*.json")))
    assert 54 <= committed < 90
    early = start(*search)
    assert early.wait() == 0, early.stderr.read_text()
    first = json.loads(early.stdout.read_text())
    assert first["complete"] is False and first["samples"] == first["total"] == committed
    assert f"the run is not finished: this is what its first {committed} samples say" in first["notes"]
    assert kept(store).about["complete"] is False
    assert start(*run).wait() == 0
    late = start(*search)
    assert late.wait() == 0, late.stderr.read_text()
    second = json.loads(late.stdout.read_text())
    assert second["complete"] is True and second["samples"] == 90
    assert not any("not finished" in note for note in second["notes"])
    before = {row["id"]: row for row in first["suspects"]}
    again = [row for row in second["suspects"] if row["id"] in before]
    assert len(again) >= 2, "no suspect was found again among more samples"
    for row in again:
        assert (
            row["n"] >= before[row["id"]]["n"]
            and row["evidence"]["effects"] == before[row["id"]]["evidence"]["effects"]
        )
    assert any(row["n"] > before[row["id"]]["n"] for row in again)
