"""A job on a bad day: a slow disk, a clock that jumps, permission that is lost, bytes that change, a killed report.

A full disk, a store that cannot be written and two jobs on one run are in `tests/jobs/test_processes.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from dashboard.report.make import write as write_report
from storage import Store, list_runs
from tests.jobs.conftest import noise
from tests.jobs.processes import Start, begin, until
from tests.reliability.ground_truth import Truth, tables_of
from tests.reliability.killing import committed
from tests.reliability.trouble import circumstances

SAMPLES, PART = 48, 4
Words = Callable[[Path], list[object]]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture(scope="module")
def command(vit: str, tmp_path_factory: pytest.TempPathFactory) -> Words:
    """The words of `run`, into a store."""
    folder = tmp_path_factory.mktemp("some") / "some"
    for i in range(SAMPLES):
        noise(folder / f"{i:02}.png", i)
    options = ["--name", "run", "--workers", 0, "--batch-size", PART, "--part-size", PART, "--device", "cpu"]
    return lambda store: ["run", "--data", folder, "--model", vit, "--store", store, *options, "--json"]


@pytest.fixture(scope="module")
def truth(server: subprocess.Popen[str], command: Words, tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """The run as it is when nothing happens."""
    folder = tmp_path_factory.mktemp("quiet")
    whole = begin(server, folder, *command(folder / "store"))
    assert whole.wait() == 0, whole.stderr.read_text()
    return Truth.of(rows(folder / "store"))


def rows(store: Path) -> dict[str, pa.Table]:
    with Store.open(store).reader("run") as reader:
        return tables_of(reader)


def test_a_slow_disk(start: Start, command: Words, truth: Truth, store: Path) -> None:
    """Every sync and rename takes a while: readers see whole parts only, the job waits and is as right as ever."""
    job = start(*command(store), **circumstances(disk_seconds=0.05, seal_every=5))
    run = Store(store).layout.run("run")
    until(job, lambda: committed(run))
    looks = set()
    while job.running():
        looks.add(truth.check(rows(store)))
        (row,) = list_runs(Store.open(store))
        assert row["live"] or not job.running() or row["state"] == "finished"
    assert job.wait() == 0, job.stderr.read_text()
    assert len(looks) > 3, "the disk was not slow"
    truth.check(rows(store), whole=True)
    document = json.loads(job.stdout.read_text())
    assert document["shares"]["write"] > 0.5


def test_a_clock_that_jumps_back(
    start: Start,
    command: Words,
    truth: Truth,
    store: Path,
) -> None:
    """Speed, remaining time and whether the job lives do not depend on the clock; nor does what is stored."""
    hours = -30
    job = start(*command(store), **circumstances(clock_jump=3600 * hours, disk_seconds=0.02, seal_every=3))
    run = Store(store).layout.run("run")
    until(job, lambda: len(committed(run)) >= 2)
    with Store.open(store).reader("run") as reader:
        progress = reader.progress()
        (row,) = list_runs(Store.open(store))
        assert progress.live and (row["state"], row["live"]) == ("running", True)
        assert progress.eta_seconds is None or 0 <= progress.eta_seconds < 600
        assert job.wait() == 0, job.stderr.read_text()
        reader.refresh()
        truth.check(tables_of(reader), whole=True)
        record = reader.record
    assert record.finished_at is not None
    jumped = datetime.fromisoformat(record.finished_at) - datetime.fromisoformat(record.created_at)
    assert abs(jumped.total_seconds() - 3600 * hours) < 600, "the clock did not jump"
    document = json.loads(job.stdout.read_text())
    assert 0 < document["seconds"] < 600 and document["samples_per_second"] > 0
    again = start(*command(store))  # with the right clock
    assert again.wait() == 0 and json.loads(again.stdout.read_text())["explained"] == 0
    truth.check(rows(store), whole=True)


@pytest.fixture
def forbid() -> Iterator[Callable[[Path], Callable[[], None]]]:
    """`allow = forbid(folder)`: nobody may write there from now on, until `allow()`; also not root."""
    undone: list[Callable[[], None]] = []

    def begin(folder: Path) -> Callable[[], None]:
        if os.geteuid() != 0:
            folder.chmod(0o555)
            undone.append(lambda: folder.chmod(0o755))
        elif subprocess.run(["chattr", "+i", str(folder)], check=False, capture_output=True).returncode == 0:
            undone.append(lambda: subprocess.run(["chattr", "-i", str(folder)], check=True) and None)
        else:
            pytest.skip("root may write everywhere, and this file system knows no immutable folders")
        return undone[-1]

    yield begin
    for allow in undone:
        allow()


def test_permission_lost_in_the_middle(
    start: Start,
    command: Words,
    truth: Truth,
    store: Path,
    forbid: Callable[[Path], Callable[[], None]],
) -> None:
    job = start(*command(store), **circumstances(disk_seconds=0.05))
    run = Store(store).layout.run("run")
    until(job, lambda: len(committed(run)) >= 2)
    allow = forbid(run.parts)
    assert job.wait() == 2
    said = job.stderr.read_text().splitlines()[-1]
    safe = len(committed(run))
    assert said.startswith("error: no permission to write in") and f"{PART * safe} samples in {safe} parts" in said
    assert "run the same command again" in said and 2 <= safe < SAMPLES / PART
    assert list_runs(Store.open(store))[0]["state"] == "interrupted"
    truth.check(rows(store))
    allow()
    again = start(*command(store))
    assert again.wait() == 0, again.stderr.read_text()
    assert json.loads(again.stdout.read_text())["skipped"] == PART * safe
    truth.check(rows(store), whole=True)


def test_a_part_whose_bytes_changed_is_named_and_made_again(
    start: Start,
    command: Words,
    truth: Truth,
    store: Path,
) -> None:
    job = start(*command(store))
    run = Store(store).layout.run("run")
    until(job, lambda: len(committed(run)) >= 5)
    job.kill()
    job.wait()
    content = bytearray(run.part(3).read_bytes())
    content[len(content) // 3] ^= 0xFF
    run.part(3).write_bytes(content)
    truth.check(rows(store))
    status = start("status", "run", "--store", store, "--json")
    assert status.wait() == 0, status.stderr.read_text()
    named = "00003.parquet is damaged on disk, its checksum differs"
    assert json.loads(status.stdout.read_text())["problems"] == [f"part 3 will be computed again: {named}"]
    done = len(committed(run))
    again = start(*command(store))
    assert again.wait() == 0, again.stderr.read_text()
    assert f"note: part 3 is computed again: {named}" in again.stderr.read_text()
    assert json.loads(again.stdout.read_text())["resumed_parts"] == done - 1
    truth.check(rows(store), whole=True)


def test_what_a_killed_report_left_is_swept_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left, living = (tmp_path / f".report.html.{process}.tmp" for process in (gone.pid, os.getppid()))
    other = tmp_path / f".another.html.{gone.pid}.tmp"
    for path in (left, living, other):
        path.write_bytes(b"half")
    write_report(tmp_path / "report.html", b"<html></html>")
    assert {p.name for p in tmp_path.iterdir()} == {"report.html", living.name, other.name}
