"""Real processes: killed, interrupted, out of disk, read by others while they write."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.cli import main
from storage import Store, list_runs
from tests.jobs.conftest import noise
from tests.jobs.processes import ENVIRONMENT, ROOT, Start, until

SAMPLES, BAD = 320, "119.png"
PART = 8
PARTS = SAMPLES // PART


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flat folder of 320 pictures, one of them no picture at all."""
    folder = tmp_path_factory.mktemp("many") / "many"
    for i in range(SAMPLES):
        noise(folder / f"{i:03}.png", i)
    (folder / BAD).write_text("not a picture")
    return folder


def run_command(data: Path, vit: str, store: Path) -> list[object]:
    options = ["--workers", 1, "--batch-size", 2, "--part-size", PART, "--device", "cpu"]
    return ["run", "--data", data, "--model", vit, "--store", store, *options]


def committed(store: Path) -> int:
    return len(list(store.glob("runs/*/parts/*.json")))


def content(store: Path) -> tuple[list[dict[str, Any]], np.ndarray]:
    """All explanations in order and their maps, after checking that every sample is there exactly once."""
    opened = Store.open(store)
    (run,) = opened.run_ids()
    with opened.reader(run) as reader:
        joined = "samples JOIN explanations USING (sample_id)"
        rows = reader.query(f"SELECT sample_id, uri, score FROM {joined} ORDER BY ALL")
        failed = reader.query("SELECT sample_id, reason FROM failures")
        maps = reader.maps([(row["sample_id"], "predicted") for row in rows], "image")
    bad = int(BAD[:3])
    assert failed == [{"sample_id": bad, "reason": "not a picture"}]
    assert [row["sample_id"] for row in rows] == [i for i in range(SAMPLES) if i != bad]
    return rows, np.stack([maps[row["sample_id"], "predicted"] for row in rows])


@pytest.mark.slow
def test_killed_ten_times_every_sample_is_there_exactly_once(
    start: Start, data: Path, vit: str, tmp_path: Path
) -> None:
    """Five kills at any moment of the start, five while parts are written, one more while the run is sealed."""
    whole = start(*run_command(data, vit, tmp_path / "whole"))
    until(whole, lambda: committed(tmp_path / "whole") >= 1)
    starting = time.monotonic() - whole.started
    assert whole.wait() == 0, whole.stderr.read_text()
    working = time.monotonic() - whole.started - starting
    seed = random.randrange(2**32)
    moments = random.Random(seed)
    store = tmp_path / "killed"
    command = run_command(data, vit, store)
    for kill in range(10):
        killed, done, begun = start(*command), committed(store), time.monotonic()
        if kill % 2:
            enough = done + moments.randint(1, 3)
            until(killed, lambda: committed(store) >= enough)  # noqa: B023
            time.sleep(moments.uniform(0, working / PARTS))
        else:
            moment = begun + moments.uniform(0, starting)
            until(killed, lambda: time.monotonic() > moment or committed(store) >= done + 2)  # noqa: B023
        killed.kill()
        assert killed.wait() == -signal.SIGKILL, (seed, killed.stderr.read_text())
    assert 5 <= committed(store) < PARTS, seed
    sealing = start(*command)
    until(sealing, lambda: committed(store) == PARTS)
    time.sleep(moments.uniform(0, 0.1))
    sealing.kill()
    assert sealing.wait() in (-signal.SIGKILL, 0), (seed, sealing.stderr.read_text())
    last = start(*command, "--json")
    assert last.wait() == 0, (seed, last.stderr.read_text())
    document = json.loads(last.stdout.read_text())
    assert (document["explained"], document["skipped"], document["resumed_parts"]) == (0, SAMPLES, PARTS)
    rows, maps = content(store)
    expected_rows, expected_maps = content(tmp_path / "whole")
    assert rows == expected_rows and np.array_equal(maps, expected_maps), seed


def test_ctrl_c_keeps_what_is_done(start: Start, data: Path, vit: str, tmp_path: Path) -> None:
    command = run_command(data, vit, tmp_path / "s")
    stopped = start(*command)
    until(stopped, lambda: committed(tmp_path / "s") >= 2)
    os.killpg(stopped.pid, signal.SIGINT)  # a terminal sends it to the workers too
    assert stopped.wait() == 130, stopped.stderr.read_text()
    safe = committed(tmp_path / "s") * PART
    last = stopped.stderr.read_text().splitlines()[-1]
    assert last == f"interrupted, {safe} samples safe, run the same command to go on"
    assert "Traceback" not in stopped.stderr.read_text()
    assert list_runs(Store.open(tmp_path / "s"))[0]["state"] == "interrupted"
    resumed = start(*command, "--json")
    assert resumed.wait() == 0
    assert json.loads(resumed.stdout.read_text())["skipped"] == safe
    content(tmp_path / "s")


def test_sigterm_is_like_ctrl_c_and_a_running_job_can_be_watched(
    start: Start, data: Path, vit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = start(*run_command(data, vit, tmp_path / "s"))
    until(job, lambda: committed(tmp_path / "s") >= 1)
    (row,) = list_runs(Store.open(tmp_path / "s"))
    assert row["live"] and row["state"] == "running" and row["samples"] == SAMPLES and row["explained"] > 0
    job.kill(signal.SIGSTOP)  # keeps its lock, and stays unfinished until the second one has tried
    assert main([str(word) for word in run_command(data, vit, tmp_path / "s")]) == 2
    assert f"is being written by process {job.pid}" in capsys.readouterr().err
    job.kill(signal.SIGCONT)
    job.kill(signal.SIGTERM)
    assert job.wait() == 130
    (row,) = list_runs(Store.open(tmp_path / "s"))
    assert not row["live"] and row["state"] == "interrupted"


def test_a_killed_worker_ends_the_run_with_one_line(start: Start, data: Path, vit: str, tmp_path: Path) -> None:
    job = start(*run_command(data, vit, tmp_path / "s"))
    until(job, lambda: committed(tmp_path / "s") >= 1)
    os.kill(job.children()[0], signal.SIGKILL)
    assert job.wait() == 2
    last = job.stderr.read_text().splitlines()[-1]
    assert last.startswith("error: a worker process died") and "--workers" in last
    assert list_runs(Store.open(tmp_path / "s"))[0]["state"] == "interrupted"


def test_full_disk(start: Start, data: Path, vit: str, tmp_path: Path) -> None:
    command = [*run_command(data, vit, tmp_path / "s"), "--workers", 0]
    job = start(*command, file_limit=12_000)  # less than a part needs
    assert job.wait() == 2
    last = job.stderr.read_text().splitlines()[-1]
    assert last.startswith("error: the disk is full") and "run the same command again" in last
    assert start(*command).wait() == 0
    content(tmp_path / "s")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that nobody can write: by its mode, and for root by a read-only mount."""
    folder = tmp_path / "read_only"
    folder.mkdir()
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    options = ["-t", "tmpfs", "-o", "ro", "tmpfs"]
    if subprocess.run(["mount", *options, str(folder)], check=False, capture_output=True).returncode != 0:
        pytest.skip("root may write everywhere, and this machine allows no read-only mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_read_only_store(start: Start, data: Path, vit: str, read_only: Path) -> None:
    job = start(*run_command(data, vit, read_only / "s"))
    assert job.wait() == 2
    assert job.stderr.read_text().count("\n") == 1
    assert "cannot be written" in job.stderr.read_text() and "--store" in job.stderr.read_text()


def test_the_real_command(data: Path, vit: str, tmp_path: Path) -> None:
    command = [*run_command(data, vit, tmp_path / "s"), "--limit", 4, "--json"]
    call = [sys.executable, "-m", "jobs", *map(str, command)]
    done = subprocess.run(call, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["explained"] == 4
