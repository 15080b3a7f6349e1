"""Kill the job again and again, and see that nothing is lost: `python -m tests.reliability.torture --kills 100`.

A job explains a few hundred small pictures into a store. It is killed (SIGKILL) at random moments of all its phases,
the whole process or one of its workers, and started again, until it is through; then the next run begins. In between
the search for suspects and the making of a report are killed in the same way. Meanwhile a reading process compares
every row with those of an undisturbed run, and a dashboard is open in a browser.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks import harness
from storage import Store
from storage.layout import RunLayout
from tests.jobs.processes import Command, serving
from tests.reliability.checking import check_kept, check_killed, check_whole, committed_parts
from tests.reliability.ground_truth import Truth
from tests.reliability.killing import Found, Sight, aim, temporary_files, wait_for
from tests.reliability.stage import SEARCHED, WHOLE, Stage, onlookers, set_up

PICTURES = 242
# What is aimed at, in turn. What is hit is told by what is found; short phases are missed more often.
AIMS = ("read", "publish", "write", "seal", "compute", "publish", "worker", "write", "start", "seal", "report",
        "compute", "publish", "read", "start", "write", "suspects", "seal", "publish")  # fmt: skip
BESIDE = ("report", "suspects")  # what is done with a run that is there
REAL_EVERY = 15  # of this many starts of the job one is as a user starts it


@dataclass
class Counts:
    """What happened."""

    kills: Counter[str] = field(default_factory=Counter)  # by the phase that was found
    aimed: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    runs: int = 0  # finished
    parts_redone: int = 0  # their file was there when the job was killed, but not announced
    parts_kept: int = 0  # committed parts that a killed job left, summed over kills
    swept: int = 0  # temporary files that killed jobs left


class Torture:
    """One session: kills jobs on a stage and checks the disk after each."""

    def __init__(self, stage: Stage, kills: int, seed: int, suspects: dict[str, Any]) -> None:
        self.stage = stage
        self.store = Store.open(stage.store)
        self.kills = kills
        self.chance = random.Random(seed)
        self.suspects = suspects
        self.counts = Counts()
        self.aims = cycle([aim for aim in AIMS if suspects or aim not in BESIDE])
        self.truth = Truth.read(stage.truths / WHOLE)
        self.lengths = {"start": 1.5, "part": 0.1, "seal": 0.2}
        self.left: list[str] = []  # temporary files that the last killed job left

    @property
    def killed(self) -> int:
        return self.counts.kills.total()

    def go(self) -> None:
        """Kill until there are enough; every run that is begun is finished."""
        while self.killed < self.kills:
            name = f"{WHOLE}-{self.counts.runs:02}"
            self._one_run(name)
            self.counts.runs += 1
            print(f"{self.killed} kills, run {name} is whole: {dict(self.counts.kills)}", file=sys.stderr, flush=True)
        if self.suspects:
            self._end_of_search()

    # -- the job ----------------------------------------------------------------------------------

    def _one_run(self, name: str) -> None:
        run = self.store.layout.run(name)
        while self.killed < self.kills:
            phase = next(self.aims)
            if phase in BESIDE:
                self._kill_beside(phase)
            elif not self._kill_job(run, phase):
                break
        document = self.stage.finish(*self.stage.run_words(name, self.stage.store))
        assert document["total_explained"] == self.truth.samples, document
        check_whole(self.store, run, self.truth)

    def _kill_job(self, run: RunLayout, phase: str) -> bool:
        """Start the job and kill it in a phase; False when it came to its end before."""
        before, self.counts.starts = committed_parts(run), self.counts.starts + 1
        real = self.counts.starts % REAL_EVERY == 0
        job = self.stage.start(*self.stage.run_words(run.run_id, self.stage.store), real=real)
        sight = Sight(job, run)
        hit = aim(sight, "compute" if phase == "worker" else phase, self.chance, self.lengths)
        self._check_swept(sight)
        if not hit or (phase == "worker" and not sight.open()):
            return self._too_late(job, run, before)
        workers = job.children()
        found = self._kill_worker(job, workers) if phase == "worker" else self._kill_whole(sight)
        if found is None:
            return self._too_late(job, run, before)
        self._count(phase, found, run)
        check_killed(self.store, run, workers, before)
        self.counts.parts_kept += len(committed_parts(run))
        return True

    def _kill_whole(self, sight: Sight) -> Found | None:
        found = sight.found()
        sight.job.kill()
        code = sight.job.wait()
        return found if code == -signal.SIGKILL else None

    def _kill_worker(self, job: Command, workers: list[int]) -> Found | None:
        os.kill(self.chance.choice(workers), signal.SIGKILL)
        code, said = job.wait(), job.stderr.read_text()
        if code == 0:
            return None
        assert code == 2 and said.splitlines()[-1].startswith("error: a worker process died"), (code, said)
        return Found("worker", 0)

    def _too_late(self, job: Command, run: RunLayout, before: dict[int, str]) -> bool:
        """The job had ended by itself, or is let go on to its end."""
        code = job.wait()
        assert code in (0, -signal.SIGKILL), (code, job.stderr.read_text())
        check_kept(run, before)
        return False

    def _count(self, phase: str, found: Found, run: RunLayout) -> None:
        self.left = temporary_files(run)
        self.counts.swept += len(self.left)
        self.counts.kills[found.phase] += 1
        self.counts.aimed[phase] += 1
        self.counts.parts_redone += found.unfinished

    def _check_swept(self, sight: Sight) -> None:
        """Once a job has begun to work, what the killed one left is gone."""
        if sight.commits:
            kept = set(self.left) & set(temporary_files(sight.run))
            assert not kept, f"{kept} were not swept"
            self.left = []

    # -- suspects and reports ---------------------------------------------------------------------

    def _kill_beside(self, phase: str) -> None:
        """Kill a search for suspects while its list is being written, or the making of a report."""
        search = phase == "suspects"
        folder = self.stage.store / "runs" / SEARCHED if search else self.stage.reports
        words = self.stage.suspects_words(SEARCHED, self.stage.store) if search else self._report_words()
        job = self.stage.start(*words)
        kept = set(folder.glob("*.tmp*")) | set(folder.glob(".*.tmp"))
        delay = time.monotonic() + self.chance.uniform(0, 6)

        def writing() -> bool:
            return bool((set(folder.glob("*.tmp*")) | set(folder.glob(".*.tmp"))) - kept)

        wait_for(job, lambda: time.monotonic() > delay, 60, 0.01)
        if not wait_for(job, writing, 120):
            assert job.wait() == 0, job.stderr.read_text()
            return
        if self.chance.random() < 0.5:
            job.kill()
        else:
            os.killpg(job.pid, signal.SIGKILL)
        assert job.wait() == -signal.SIGKILL, job.stderr.read_text()
        self.counts.kills["report"] += 1
        self.counts.aimed[phase] += 1
        for report in self.stage.reports.glob("*.html"):
            assert report.read_text().rstrip().endswith("</html>"), f"half a report: {report}"

    def _report_words(self) -> list[object]:
        return ["report", SEARCHED, "--store", self.stage.store, "--out", self.stage.reports / "report.html"]

    def _end_of_search(self) -> None:
        """Suspects and report once more, undisturbed: the same list as ever, and nothing left over."""
        found = self.stage.finish(*self.stage.suspects_words(SEARCHED, self.stage.store))
        assert found["suspects"] == self.suspects["suspects"], "the killed searches changed the list of suspects"
        self.stage.finish(*self._report_words())
        left = [*temporary_files(self.store.layout_of(SEARCHED)), *os.listdir(self.stage.reports)]
        assert left == ["report.html"], left


def torture(
    folder: Path, kills: int, seed: int, *, pictures: int = PICTURES, dashboard: bool = True, search: bool = True
) -> dict[str, Any]:
    """Do it, in an empty folder. Raises AssertionError for whatever is wrong; returns what happened."""
    begun = time.monotonic()
    with serving() as server:
        stage = Stage(folder, server)
        session = Torture(stage, kills, seed, set_up(stage, pictures, search))
        with onlookers(stage, dashboard) as said:
            session.go()
    for who in said:
        assert not who["errors"], who
    counts = session.counts
    phases = [{"phase": phase, "kills": n} for phase, n in sorted(counts.kills.items())]
    return {
        "seed": seed,
        "kills": session.killed,
        "starts": counts.starts,
        "runs_finished": counts.runs,
        "samples_per_run": session.truth.samples,
        "parts_redone": counts.parts_redone,
        "parts_kept": counts.parts_kept,
        "temporary_files_swept": counts.swept,
        "samples_lost": 0,  # otherwise there was an AssertionError
        "samples_doubled": 0,
        "seconds": round(time.monotonic() - begun, 1),
        "onlookers": said,
        "rows": phases,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None, help="of the random moments; default: another one each time")
    parser.add_argument("--no-dashboard", action="store_true", help="leave the dashboard and its browser out")
    parser.add_argument("--json", type=Path, default=None, help="write what happened to this file")
    given = parser.parse_args()
    seed = random.randrange(2**32) if given.seed is None else given.seed
    print(f"seed {seed}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="relevancy-audit-torture-") as folder:
        found = torture(Path(folder), given.kills, seed, dashboard=not given.no_dashboard)
    rows = found.pop("rows")
    document = harness.report("torture", rows, given.json, **found)
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
