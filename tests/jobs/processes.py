"""Commands as real processes: start one, watch what it does, send it a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@dataclass
class Command:
    """One running `python -m jobs ...`; see process_server.py."""

    server: subprocess.Popen[str]
    pid: int
    stdout: Path
    stderr: Path
    started: float = field(default_factory=time.monotonic)
    waited: bool = False

    def wait(self) -> int:
        """Exit code, negative for a signal."""
        assert self.server.stdout is not None
        self.waited = True
        return os.waitstatus_to_exitcode(int(self.server.stdout.readline()))

    def kill(self, number: int = signal.SIGKILL) -> None:
        """A signal to the process alone. It is not reaped before `wait`, so the id is still its own."""
        os.kill(self.pid, number)

    def running(self) -> bool:
        """Whether it has not ended; one that was not waited for is a zombie."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"

    def children(self) -> list[int]:
        """Ids of the processes it has begun; none once it has ended."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/children")
        try:
            return [int(child) for task in tasks for child in task.read_text().split()]
        except OSError:  # a thread that has just ended
            return self.children() if self.running() else []


Start = Callable[..., Command]


@contextmanager
def serving() -> Iterator[subprocess.Popen[str]]:
    """A process that starts commands quickly, one at a time; see process_server.py."""
    command = [sys.executable, "-m", "tests.jobs.process_server"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdin=pipe, stdout=pipe, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def begin(
    server: subprocess.Popen[str],
    folder: Path,
    *arguments: object,
    file_limit: int | None = None,
    environment: dict[str, str] | None = None,
) -> Command:
    """Start `python -m jobs ARGUMENTS`, with its output in files of a folder, and return at once."""
    out, err = folder / "stdout", folder / "stderr"
    argv = [str(argument) for argument in arguments]
    request: dict[str, Any] = {"argv": argv, "stdout": str(out), "stderr": str(err), "file_limit": file_limit}
    request["environment"] = environment or {}
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    return Command(server, int(server.stdout.readline()), out, err)


def until(command: Command, condition: Callable[[], Any], seconds: float = 120) -> None:
    """Wait for something that a running command brings about."""
    end = time.monotonic() + seconds
    while not condition():
        assert command.running(), command.stderr.read_text()
        assert time.monotonic() < end, f"timed out; {command.stderr.read_text()}"
        time.sleep(0.005)
