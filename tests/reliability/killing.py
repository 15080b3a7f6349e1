"""Where a job is, seen from outside: what lies on the disk and what its threads wait for; and waiting for a moment."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from storage.atomic import TEMPORARY
from storage.layout import RunLayout
from storage.lock import owner
from tests.jobs.processes import Command

JOB_PHASES = ("start", "read", "compute", "write", "seal", "publish")
WAITING_FOR_DATA = {"0", "7", "232", "271"}  # read, poll, epoll_wait, ppoll of Linux on x86-64
STANDSTILL_SECONDS = 5.0
Condition = Callable[[], bool]


def committed(run: RunLayout) -> set[str]:
    """Names of the manifests of parts."""
    return {name for name in names_in(run.parts) if name.endswith(".json")}


def names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def temporary_files(run: RunLayout) -> list[str]:
    """Names of unfinished files of a run."""
    folders = (run.folder, run.parts, run.segments)
    return [name for folder in folders for name in names_in(folder) if TEMPORARY in name]


@dataclass(frozen=True)
class Found:
    """Where a job stood when it was killed.

    Attributes:
        phase: one of `JOB_PHASES`.
        unfinished: parts whose file, whole or not, was there without its manifest; they have to be made again.
    """

    phase: str
    unfinished: int


class Sight:
    """Looks at a running job and the folder of its run."""

    def __init__(self, job: Command, run: RunLayout) -> None:
        self.job = job
        self.run = run
        self.begun = time.time() - 0.01
        self.before = committed(run)

    @property
    def commits(self) -> int:
        """Parts that this job has committed so far."""
        return len(committed(self.run) - self.before)

    def open(self) -> bool:
        """Whether the job has the run's lock and its worker processes."""
        return owner(self.run.lock) == f"process {self.job.pid}" and bool(self.job.children())

    def reads(self) -> bool:
        """Whether the main thread waits for pictures."""
        return self.open() and self._main_thread() == "read"

    def computes(self) -> bool:
        return self.open() and self._main_thread() == "compute"

    def writes(self) -> bool:
        """Whether the file of a part is being written."""
        return bool(self._own(self.run.parts, ".parquet."))

    def seals(self) -> bool:
        """Whether a segment is being built."""
        return bool(self._own(self.run.segments, ".duckdb."))

    def _own(self, folder: Path, kind: str = "") -> list[str]:
        """Unfinished files of this job; what an earlier one left may lie there until it is swept."""
        mine = f".{self.job.pid}{TEMPORARY}"
        return [name for name in names_in(folder) if mine in name and kind in name]

    def publishes(self) -> bool:
        """Whether data have their name and lack their manifest."""
        return bool(self._without_manifest(self.run.parts, ".parquet") + self.loose_segments())

    def loose_segments(self) -> list[str]:
        return self._without_manifest(self.run.segments, ".duckdb")

    def _without_manifest(self, folder: Path, suffix: str) -> list[str]:
        """Files of this job; those that an earlier one left are older."""
        names = set(names_in(folder))
        loose = [n for n in names if n.endswith(suffix) and f"{n.removesuffix(suffix)}.json" not in names]
        return [name for name in loose if self._is_new(folder / name)]

    def _is_new(self, path: Path) -> bool:
        try:
            return path.stat().st_mtime >= self.begun
        except FileNotFoundError:
            return False

    def _main_thread(self) -> str:
        """What the main thread does: read, compute, or write when it waits for the writing thread."""
        try:
            call = Path(f"/proc/{self.job.pid}/syscall").read_text().split()
        except OSError:
            return "start"
        if not call or call[0] == "running":
            return "compute"
        return "read" if call[0] in WAITING_FOR_DATA else "write"

    def found(self) -> Found:
        """Stop the job and see where it stands: from then on nothing moves until it is killed."""
        doing = self._main_thread() if self.open() else "start"
        self.job.kill(signal.SIGSTOP)
        end = time.monotonic() + STANDSTILL_SECONDS
        while self.job.running() and not self._stands_still() and time.monotonic() < end:
            time.sleep(0.001)
        loose = set(self._without_manifest(self.run.parts, ".parquet"))
        half = {name.split(".")[0] for name in self._own(self.run.parts, ".parquet.")}
        phase = "seal" if self.seals() else "publish" if loose or self.loose_segments() else "write" if half else doing
        if phase == doing and self._own(self.run.parts):
            phase = "publish"  # the manifest
        elif phase == doing and self._own(self.run.folder):
            phase = "write"  # the record or the progress of the run
        return Found(phase, len(half | {name.split(".")[0] for name in loose}))

    def _stands_still(self) -> bool:
        tasks = Path(f"/proc/{self.job.pid}/task").glob("*/stat")
        try:
            return all(stat.read_text().rpartition(")")[2].split()[0] in "TtZX" for stat in tasks)
        except OSError:  # a thread that has just ended
            return False


def wait_for(job: Command, condition: Condition, seconds: float, pause: float = 0.0) -> bool:
    """Look without rest until the condition holds; False when the job ends before, or never gets there."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end or not job.running():
            return False
        time.sleep(pause)
    return True


def aim(sight: Sight, phase: str, chance: random.Random, lengths: dict[str, float]) -> bool:
    """Wait for a random moment of a phase; False when the job ended before.

    Args:
        lengths: how many seconds a start, a part and a seal take; that of a start is measured anew each time.
    """
    job, enough = sight.job, 0 if phase == "read" else chance.randint(0, 3)  # later on the model seldom waits
    if phase == "start":
        time.sleep(chance.uniform(0, lengths["start"]))
        return job.running()
    if phase == "seal":
        there = wait_for(job, sight.seals, 120, 0.001)
        time.sleep(chance.uniform(0, lengths["seal"]))
        return there and job.running()
    if not wait_for(job, lambda: sight.open() and sight.commits >= enough, 120, 0.005):
        return False
    if enough == 0:
        lengths["start"] = time.monotonic() - job.started
    time.sleep(chance.uniform(0, lengths["part"]))
    conditions: dict[str, Condition] = {
        "read": sight.reads,
        "compute": sight.computes,
        "write": sight.writes,
        "publish": sight.publishes,
    }
    wait_for(job, conditions[phase], 5)
    return job.running()
