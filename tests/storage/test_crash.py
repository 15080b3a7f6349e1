"""Real processes: killed at any moment, watched while writing, and running out of disk."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import Store, StoreError, list_runs
from storage.lock import is_locked
from tests.storage import audit

ROOT = Path(__file__).parents[2]
KILLS = 5


def start(module: str, *arguments: object) -> subprocess.Popen[str]:
    """One of the processes beside this file."""
    command = [sys.executable, "-m", f"tests.storage.{module}", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def whole(root: Path, parts: int) -> None:
    """Every sample exactly once, nothing lost, every value right, nothing left over."""
    with Store.open(root).reader("run") as reader:
        found = [r["sample_id"] for r in reader.query("SELECT sample_id FROM samples ORDER BY sample_id")]
        assert found == audit.explained_ids(*range(parts))
        failed = [r["sample_id"] for r in reader.query("SELECT sample_id FROM failures ORDER BY sample_id")]
        assert failed == [f["sample_id"] for index in range(parts) for f in audit.part_failures(index)]
        assert reader.query("SELECT count(*) AS n FROM explanations")[0]["n"] == 4 * len(found)
        for modality in ("image", "text"):
            maps = reader.maps([(i, t) for i in found for t in ("predicted", "label")], modality)
            assert len(maps) == 2 * len(found)
            for (sample_id, target), vector in maps.items():
                assert np.array_equal(vector, audit.relevancy(sample_id, target, modality))
    left = [p for p in (root / "runs" / "run").rglob("*") if ".tmp" in p.name or p.suffix == ".wal"]
    assert left == []


def acknowledged(process: subprocess.Popen[str], seconds: float) -> tuple[set[int], bool]:
    """Kill a writer some time after it said `ready`; the parts it had reported, and whether it was done before."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.stderr.read() if process.stderr else ""
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    lines = process.communicate()[0].split()
    return {int(line) for line in lines if line.isdigit()}, "finished" in lines


@pytest.mark.slow
def test_kill_at_any_moment_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Five kills within one run, a different moment each; then the same command once more, unharmed."""
    parts, moments, done = 64, random.Random(7), set()
    for _ in range(KILLS):
        reported, finished = acknowledged(start("process_write", tmp_path, parts, 6, 0), moments.uniform(0.0, 0.35))
        assert not finished, "the run is too short for the kills"
        assert not reported & done, "a part was computed twice"
        done |= reported
        store = Store.open(tmp_path)
        assert not is_locked(store.layout_of("run").lock)
        assert list_runs(store)[0]["state"] == "interrupted"
        with store.reader("run") as reader:
            committed = reader.snapshot.committed
            assert done <= committed
            done |= committed  # committed, but killed before it could say so
            count = reader.query("SELECT count(*) AS n, count(DISTINCT sample_id) AS ids FROM samples")[0]
            assert count["n"] == count["ids"] == len(audit.explained_ids(*committed))
    last = start("process_write", tmp_path, parts, 1000, 0)
    out, err = last.communicate(timeout=120)
    assert last.returncode == 0, err
    assert {int(line) for line in out.split() if line.isdigit()} == set(range(parts)) - done
    assert list_runs(Store.open(tmp_path))[0]["state"] == "finished"
    whole(tmp_path, parts)


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.12])
def test_kill_between_the_steps_of_a_seal(tmp_path: Path, delay: float) -> None:
    """Sealing everything at once, killed at moments spread over it."""
    parts = 12
    first = start("process_write", tmp_path, parts, 1000, 0, 10**9)
    assert first.stdout is not None
    for line in first.stdout:
        if line.strip() == str(parts - 1):
            break
    time.sleep(delay)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    with Store.open(tmp_path).reader("run") as reader:
        assert reader.snapshot.committed == set(range(parts))
    again = start("process_write", tmp_path, parts, 1000, 0)
    out, err = again.communicate(timeout=60)
    assert (again.returncode, out.split()) == (0, ["ready", "finished"]), err
    whole(tmp_path, parts)


@pytest.mark.slow
def test_a_reading_process_follows_a_writing_one(tmp_path: Path) -> None:
    """Neither fails while parts are committed, sealed and removed under the reader's hands."""
    parts = 20
    reader, writer = start("process_poll", tmp_path), start("process_write", tmp_path, parts, 4, 0)
    out, err = writer.communicate(timeout=120)
    assert (writer.returncode, "finished" in out) == (0, True), err
    out, err = reader.communicate(timeout=60)
    assert reader.returncode == 0, err
    looks, states, samples = map(int, out.split())
    assert samples == len(audit.explained_ids(*range(parts)))
    assert looks > 5 and states > 3
    assert any(Store.open(tmp_path).layout_of("run").segments.glob("*.duckdb"))
    whole(tmp_path, parts)


def run_until_full(root: Path, *limit: int, seal_every: int = 1000) -> tuple[int, str]:
    """Exit code and the one line of a writing process."""
    process = start("process_write", root, 12, seal_every, 0, *limit)
    out, err = process.communicate(timeout=120)
    reported = [line for line in out.split() if line.isdigit()]
    assert len(err.strip().splitlines()) == 1, err
    return len(reported), err if process.returncode == 2 else f"exit code {process.returncode}"


def check_full(root: Path, reported: int, said: str) -> None:
    """The line tells what is safe, the store is whole, and no half file is left."""
    assert "the disk is full" in said and "run the same command again" in said
    samples = len(audit.explained_ids(*range(reported)))
    assert f"{samples:,} samples in {reported:,} parts are safe" in said
    with Store.open(root).reader("run") as reader:
        assert reader.query("SELECT count(*) AS n FROM samples")[0]["n"] == samples
    assert not [p for p in (root / "runs" / "run").rglob("*") if ".tmp" in p.name]


def finish(root: Path) -> None:
    process = start("process_write", root, 12, 1000, 0)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    whole(root, 12)


def test_full_disk_while_committing(small_disk: Callable[[str], Path]) -> None:
    root = small_disk("200k")
    reported, said = run_until_full(root)
    assert 0 < reported < 12 and "was not" in said
    check_full(root, reported, said)
    small_disk("50m")
    finish(root)


def test_full_disk_while_sealing(small_disk: Callable[[str], Path]) -> None:
    root = small_disk("1200k")
    reported, said = run_until_full(root)
    assert reported == 12 and "the segment was not built; its parts are untouched" in said
    check_full(root, reported, said)
    small_disk("50m")
    finish(root)


@pytest.mark.parametrize(("limit", "said"), [(8_000, "part 0 was not committed"), (300_000, "segment was not built")])
def test_file_size_limit_is_reported_like_a_full_disk(tmp_path: Path, limit: int, said: str) -> None:
    """The same without root: the system refuses files beyond a size."""
    reported, line = run_until_full(tmp_path, limit)
    assert said in line
    check_full(tmp_path, reported, line)


def test_losing_the_run_folder_is_one_clear_line(store: Store) -> None:
    with pytest.raises(StoreError, match="cannot be written"), store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0)
        os.rename(writer.run.parts, writer.run.folder / "moved")
        audit.commit(writer, 1)


def test_an_interrupted_process_says_so(tmp_path: Path) -> None:
    process = start("process_write", tmp_path, 150, 1000, 0)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    row: dict[str, Any] = list_runs(Store.open(tmp_path))[0]
    assert (row["state"], row["live"]) == ("interrupted", False)
    assert Store.open(tmp_path).record("run").state == "interrupted"
