"""What must hold on the disk after a job was killed, and after it came to its end."""

from __future__ import annotations

import json
import time
from pathlib import Path

from storage import Store, list_runs
from storage.layout import RunLayout
from storage.lock import is_locked
from storage.manifests import take_snapshot
from tests.reliability.ground_truth import Truth, tables_of
from tests.reliability.killing import committed, temporary_files

LOOKS, PAUSE_SECONDS = 1000, 0.01  # until the workers of a killed job have to be gone


def committed_parts(run: RunLayout) -> dict[int, str]:
    """When each part that still has a manifest was committed."""
    found = {}
    for name in committed(run):
        try:
            found[int(name.split(".")[0])] = json.loads((run.parts / name).read_text())["committed_at"]
        except FileNotFoundError:  # retired meanwhile
            continue
    return found


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def check_killed(store: Store, run: RunLayout, workers: list[int], before: dict[int, str]) -> None:
    """No lock, no worker, no part that is gone, and a state that tells what happened."""
    assert not is_locked(run.lock), f"{run.lock} is still locked"
    for _ in range(LOOKS):
        if not any(map(alive, workers)):
            break
        time.sleep(PAUSE_SECONDS)
    else:
        raise AssertionError(f"a worker of the killed job lives on: {workers}")
    check_kept(run, before)
    states = {row["run"]: row["state"] for row in list_runs(store)}
    assert states.get(run.run_id, "interrupted") in ("interrupted", "finished"), states


def check_kept(run: RunLayout, before: dict[int, str]) -> None:
    """No part that was committed `before` is gone, and none was made a second time."""
    after, sealed = committed_parts(run), take_snapshot(run).sealed
    for part, at in before.items():
        assert after.get(part) == at or (part in sealed and part not in after), f"part {part} was made twice, or lost"


def check_whole(store: Store, run: RunLayout, truth: Truth) -> None:
    """A finished run is as if nothing had happened."""
    with store.reader(run.run_id) as reader:
        truth.check(tables_of(reader), whole=True)
        assert not reader.problems and reader.record.state == "finished"
    assert not temporary_files(run) and not is_locked(run.lock)
    loose = [path.name for path in run.parts.glob("*.parquet") if not path.with_suffix(".json").exists()]
    assert not loose, f"{loose} have no manifest"
