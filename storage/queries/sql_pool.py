"""The processes that run users' SQL, as the server holds them: a few, started when needed, ended when they overrun."""

from __future__ import annotations

import atexit
import json
import math
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from storage.errors import StoreError

MOST = 2  # processes: more people wait for their turn
STARTING = 30.0  # seconds for a process to start, open the run and read the query, on a busy machine
STALE = 60.0  # seconds after which a process may be about to end itself
MOST_BYTES = 128 * 2**20  # of an answer: a process that has gone mad must not fill this one
ROOT = Path(__file__).resolve().parents[2]
# What a process needs of the environment; passwords and keys in it are nothing for a query to see.
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "OMP_NUM_THREADS")


class _Gone(Exception):
    """The process ended, or was ended, before it answered."""


class _Process:
    """One process."""

    def __init__(self) -> None:
        known = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "storage.queries.sql_process"],
            cwd=ROOT,
            env={**known, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self.used = time.monotonic()

    def ask(self, question: bytes, deadline: float) -> tuple[str | None, bytes]:
        """(what was wrong, bytes of the result). Raises `_Gone`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(question)
        except OSError as error:
            raise _Gone from error
        head, _, rest = self._read(lambda got: b"\n" in got, b"", deadline).partition(b"\n")
        said = json.loads(head)
        found = self._read(lambda got: len(got) >= said["bytes"], rest, deadline)
        self.used = -math.inf if said["last"] else time.monotonic()
        return said["error"], found

    def _read(self, enough: Callable[[bytearray], bool], got: bytes, deadline: float) -> bytes:
        assert self._process.stdout is not None
        pieces = bytearray(got)
        while not enough(pieces):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise _Gone
            piece = os.read(self._process.stdout.fileno(), 1 << 20)
            if not piece or len(pieces) > MOST_BYTES:
                raise _Gone
            pieces += piece
        return bytes(pieces)

    def end(self) -> int:
        """End it now; its exit code."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        return self._process.wait()


class Pool:
    """Threads may share it."""

    def __init__(self) -> None:
        self._turns = threading.BoundedSemaphore(MOST)
        self._guard = threading.Lock()
        self._idle: list[_Process] = []

    def ask(self, run: Path, text: str, *, rows: int | None, seconds: float) -> pa.Table:
        """The first rows of a query over the run in a folder; its distinct sample ids when `rows` is None.

        Raises StoreError.
        """
        asked = {"run": str(run), "text": text, "rows": rows, "seconds": seconds}
        if not self._turns.acquire(timeout=seconds + STARTING):
            raise StoreError("the queries of other people are still running; try again in a moment")
        try:
            error, found = self._asked(json.dumps(asked).encode() + b"\n", seconds)
        finally:
            self._turns.release()
        if error is not None:
            raise StoreError(error)
        with pa.ipc.open_stream(found) as stream:
            return stream.read_all()

    def _asked(self, question: bytes, seconds: float) -> tuple[str | None, bytes]:
        process = self._take()
        begun = time.monotonic()
        try:
            answer = process.ask(question, begun + seconds + STARTING)
        except BaseException as problem:
            process.end()
            if not isinstance(problem, _Gone):
                raise
            if time.monotonic() - begun >= seconds:
                return f"the query was stopped after {seconds:g} seconds; restrict it or ask for less", b""
            return "the query was stopped, it needs too much memory; restrict it or ask for less", b""
        with self._guard:
            self._idle.append(process)
        return answer

    def _take(self) -> _Process:
        """A process that waits, or a new one."""
        with self._guard:
            fresh = [one for one in self._idle if time.monotonic() - one.used < STALE]
            stale = [one for one in self._idle if one not in fresh]
            self._idle = fresh
            taken = fresh.pop() if fresh else None
        for one in stale:
            one.end()
        return taken or _Process()

    def close(self) -> None:
        """End the processes that wait."""
        with self._guard:
            idle, self._idle = self._idle, []
        for one in idle:
            one.end()


POOL = Pool()
atexit.register(POOL.close)
