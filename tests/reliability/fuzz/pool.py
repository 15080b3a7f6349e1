"""Processes that try inputs. One that dies or hangs is an input's failure, and another takes its place."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

from tests.reliability.fuzz.registry import find
from tests.reliability.fuzz.trying import FAILED, Tally, threads_off, try_many

HANGS_AFTER = 300.0  # seconds for one input, of which most take milliseconds
LAST_WORDS = 12  # lines
MOST_MEMORY = 8 * 2**30  # bytes of address space beside those of the libraries; torch maps some more when first used


class Chunk(NamedTuple):
    """Inputs that one process tries at a time."""

    target: str
    count: int
    number: int  # of the random choices; 0 tries the pinned inputs too


class Hand:
    """One process of the pool."""

    def __init__(self, folder: Path, index: int) -> None:
        self.journal = folder / f"{index}.input"
        self.log = self.journal.with_suffix(".log")
        self.chunk: Chunk | None = None
        self.since = 0.0
        context = multiprocessing.get_context("spawn")
        self.link, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.journal), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, chunk: Chunk) -> None:
        self.chunk, self.since = chunk, time.time()
        self.link.send(chunk)

    def died(self) -> Tally:
        """The chunk's result when the process is gone: a failure of the input it was at."""
        self.process.join()
        case = self.journal.read_text() if self.journal.exists() else "none was begun"
        tally = Tally(inputs=1, outcomes=Counter({FAILED: 1}))
        said = _last_words(self.log.read_text(errors="replace").splitlines())
        tally.fail(case, f"the process ended with code {self.process.exitcode}: {said}")
        return tally

    def hangs(self) -> bool:
        """Whether one input has taken too long; each is written down when it is begun."""
        begun = self.journal.stat().st_mtime if self.journal.exists() else 0.0
        return self.chunk is not None and time.time() - max(begun, self.since) > HANGS_AFTER


def tallies(chunks: Sequence[Chunk], processes: int, go_on: Callable[[], bool]) -> Iterator[tuple[Chunk, Tally]]:
    """Results of the chunks as they come; no new chunk is begun once `go_on` is False."""
    left = list(reversed(chunks))
    with tempfile.TemporaryDirectory() as folder:
        hands = [Hand(Path(folder), index) for index in range(processes)]
        made = processes
        try:
            while True:
                for hand in hands:
                    if hand.chunk is None and left and go_on():
                        hand.give(left.pop())
                busy = [hand for hand in hands if hand.chunk is not None]
                if not busy:
                    return
                ready = wait([hand.link for hand in busy], timeout=5.0)
                for hand in busy:
                    chunk = hand.chunk
                    assert chunk is not None
                    if hand.link in ready:
                        try:
                            result = hand.link.recv()
                        except (EOFError, ConnectionResetError):
                            result = None
                    elif hand.hangs():
                        hand.process.kill()
                        result = None
                    else:
                        continue
                    if result is None:
                        result = hand.died()
                        hands[hands.index(hand)] = Hand(Path(folder), made)
                        made += 1
                    hand.chunk = None
                    yield chunk, result
        finally:
            for hand in hands:
                hand.process.kill()
                hand.process.join()


def _last_words(lines: list[str]) -> str:
    """The end of a log, or how its report of a fatal error begins: the innermost calls come first there."""
    fatal = next((i for i, line in enumerate(lines) if line.startswith("Fatal Python error")), len(lines))
    return " | ".join(lines[fatal : fatal + LAST_WORDS] or lines[-LAST_WORDS:])


def _quiet(log: Path) -> None:
    """What libraries print goes into a file; the last of it is told of a process that dies."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(handle, stream)


def _serve(link: Connection, journal: Path) -> None:
    """The life of a process: chunks in, tallies out."""
    threads_off()
    _quiet(journal.with_suffix(".log"))
    tempfile.tempdir = str(journal.parent)  # a process that is killed leaves nothing behind
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        chunk: Chunk = link.recv()
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        target = find(chunk.target)  # imports what it needs
        _bound_memory()
        link.send(try_many(target, chunk.count, chunk.number, journal, pinned=chunk.number == 0))


def _bound_memory() -> None:
    """What asks for far more than the libraries have by now ends in a MemoryError, or in the end of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_MEMORY, resource.RLIM_INFINITY))
