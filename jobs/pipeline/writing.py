"""Third stage: one thread turns finished parts into tables and commits them, so the model never waits for disk.

The thread also writes the heartbeat that the dashboard reads: nothing else touches the run's files meanwhile.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field

from jobs.pipeline.explaining import Outcome
from jobs.pipeline.progress import Tally
from jobs.pipeline.results import Chunk
from jobs.pipeline.rows import Rows
from storage import RunWriter

WAITING_PARTS = 2  # bounded: when the disk is slower than the model, the model waits instead of filling memory
HEARTBEAT_SECONDS = 1.0


@dataclass
class Part:
    """What is collected for one part until it is complete."""

    index: int
    chunks: list[Chunk] = field(default_factory=list)
    failures: list[tuple[int, str]] = field(default_factory=list)
    read: float = 0.0
    compute: float = 0.0

    def add(self, outcome: Outcome, read: float, compute: float) -> None:
        """Take in one batch and the seconds it took."""
        self.chunks += outcome.chunks
        self.failures += outcome.failures
        self.read += read
        self.compute += compute


class Writing:
    """Context manager around the writing thread. Leaving it normally waits for all parts that were put;
    leaving it by an exception does so too, because a finished part is worth keeping."""

    def __init__(self, writer: RunWriter, rows: Rows, tally: Tally) -> None:
        self.writer = writer
        self.rows = rows
        self.tally = tally
        self.error: BaseException | None = None
        self._parts: queue.Queue[Part | None] = queue.Queue(WAITING_PARTS)
        self._thread = threading.Thread(target=self._work, name="write parts", daemon=True)
        self._beat = 0.0
        self._last_commit = 0.0

    def __enter__(self) -> Writing:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        while self._thread.is_alive():
            try:
                self._parts.put(None, timeout=0.1)
                break
            except queue.Full:
                continue
        self._thread.join()
        if kind is None:
            self.check()

    def put(self, part: Part) -> None:
        """Hand over a complete part; waits while too many are queued. Raises what stopped the thread."""
        while True:
            self.check()
            try:
                return self._parts.put(part, timeout=0.1)
            except queue.Full:
                continue

    def check(self) -> None:
        """Raise the error that ended the thread, if one did."""
        if self.error is not None:
            raise self.error

    def _work(self) -> None:
        try:
            while (part := self._next()) is not None:
                self._commit(part)
                self._heartbeat()
        except BaseException as error:  # handed to the main thread by `check`
            self.error = error

    def _next(self) -> Part | None:
        """The next part, or None at the end; keeps the heartbeat going meanwhile."""
        while True:
            try:
                return self._parts.get(timeout=HEARTBEAT_SECONDS)
            except queue.Empty:
                self._heartbeat()

    def _commit(self, part: Part) -> None:
        """Store one part. A manifest cannot know how long its own commit will take, so each carries the seconds
        of the commit before it; their sum misses the last one only."""
        start = time.monotonic()
        table = self.rows.table(part.chunks)
        uris = self.rows.dataset.uris
        failures = [{"sample_id": i, "uri": uris[i].as_py(), "reason": reason} for i, reason in sorted(part.failures)]
        built = time.monotonic()
        seconds = {"read": part.read, "compute": part.compute, "write": built - start + self._last_commit}
        self.writer.commit_part(part.index, table, failures=failures, seconds=seconds)
        self._last_commit = time.monotonic() - built
        self.tally.write += time.monotonic() - start
        self.tally.parts_done += 1

    def _heartbeat(self) -> None:
        if time.monotonic() - self._beat >= HEARTBEAT_SECONDS:
            self._beat = time.monotonic()
            self.writer.update_progress(self.tally.heartbeat())
