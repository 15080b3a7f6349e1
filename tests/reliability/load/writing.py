"""The job that writes all the time: a real process, and another run when it has ended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MODEL = "timm:local-dir:jobs/demo/weights/vit"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def run_command(manifest: Path, store: Path, name: str, part: int) -> list[str]:
    """`python -m jobs run` with nothing left to chance."""
    given = {"data": manifest, "model": MODEL, "store": store, "name": name, "part-size": part, "batch-size": 8,
             "workers": 1, "device": "cpu"}  # fmt: skip
    return [sys.executable, "-m", "jobs", "run", *(f"--{key}={value}" for key, value in given.items())]


def suspects_command(store: Path, name: str) -> list[str]:
    """`python -m jobs suspects`, without the tests on the model."""
    return [sys.executable, "-m", "jobs", "suspects", name, f"--store={store}", "--no-verify"]


def call(command: list[str]) -> None:
    """Run a command to its end. Raises RuntimeError with what it said when it fails."""
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")


class Writer:
    """Starts run after run of the same data, under the names live-1, live-2, ..., until it is stopped."""

    def __init__(self, manifest: Path, store: Path, part: int, log: Path) -> None:
        self.manifest, self.store, self.part, self.log = manifest, store, part, log
        self.finished: list[str] = []
        self.problems: list[str] = []
        self._ending = threading.Event()
        self._number = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> Writer:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the job as Ctrl-C does; what is committed stays."""
        self._ending.set()
        if self._process is not None:
            self._process.terminate()
        self._thread.join(60)

    @property
    def name(self) -> str:
        """The newest run that has a folder; a link to it shows a run that is being written."""
        known = [f"live-{number}" for number in range(self._number, 0, -1)]
        return next((name for name in known if (self.store / "runs" / name / "run.json").exists()), "")

    @property
    def names(self) -> list[str]:
        """All runs that were begun."""
        return [f"live-{number}" for number in range(1, self._number + 1)]

    def _write(self) -> None:
        while not self._ending.is_set():
            name = f"live-{self._number + 1}"
            with self.log.open("ab") as log:
                command = run_command(self.manifest, self.store, name, self.part)
                self._process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=log, stderr=log)
            self._number += 1
            code = self._process.wait()
            if code == 0:
                self.finished.append(name)
            elif not self._ending.is_set():
                self.problems.append(f"{name} ended with {code}: {self.log.read_text()[-1000:]}")
                return
