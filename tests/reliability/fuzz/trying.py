"""Many inputs of one target in this process."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.reliability.fuzz.target import REFUSED, RIGHT, Target

FAILED = "failed"
LONGEST_INPUT = 2000  # characters of a failing input in the report
QUIET = settings(
    deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), print_blob=False
)


@dataclass
class Tally:
    """How the inputs of one target ended. `failures` are {"input", "problem"}, of each kind the shortest input that was
    met; `slowest` is in seconds."""

    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    slowest: float = 0.0

    def fail(self, case: str, problem: str) -> None:
        """Note a failure, unless one of its kind with a shorter input is known."""
        kinds = {_kind(failure["problem"]): failure for failure in self.failures}
        known = kinds.get(_kind(problem))
        if known is None:
            self.failures.append({"input": case, "problem": problem})
        elif len(case) < len(known["input"]):
            known.update(input=case, problem=problem)

    def add(self, other: Tally) -> None:
        """Sum up with what another process found."""
        self.inputs += other.inputs
        self.outcomes.update(other.outcomes)
        for failure in other.failures:
            self.fail(failure["input"], failure["problem"])
        self.seconds += other.seconds
        self.slowest = max(self.slowest, other.slowest)

    def row(self) -> dict[str, Any]:
        """As a row of the report."""
        row = asdict(self) | {
            RIGHT: self.outcomes[RIGHT],
            REFUSED: self.outcomes[REFUSED],
            FAILED: self.outcomes[FAILED],
        }
        return {k: round(v, 2) if isinstance(v, float) else v for k, v in row.items() if k != "outcomes"}


def _kind(problem: str) -> str:
    """What is alike in problems of one cause: the words before anything quoted, without numbers."""
    return re.sub(r"['\"{\[(].*|\d+", "", problem)[:120]


def try_many(target: Target, count: int, number: int, journal: Path | None = None, pinned: bool = True) -> Tally:
    """`count` inputs of `target`, the same for the same `number`, and the pinned ones if wanted.

    With a `journal` every input is written there before it is tried, so that whoever started this process knows the one
    that it died of.
    """
    tally, start = Tally(), time.perf_counter()

    def attempt(case: Any) -> None:
        shown = repr(case)
        if journal is not None:
            journal.write_text(shown[:LONGEST_INPUT], encoding="utf-8", errors="backslashreplace")
        tally.inputs += 1
        begun = time.perf_counter()
        try:
            outcome = target.check(case)
            assert outcome in (RIGHT, REFUSED), outcome
        except (AssertionError, MemoryError) as error:
            outcome = FAILED
            tally.fail(shown[:LONGEST_INPUT], f"{type(error).__name__}: {error}"[:LONGEST_INPUT])
        tally.outcomes[outcome] += 1
        tally.slowest = max(tally.slowest, time.perf_counter() - begun)

    for case in target.pinned if pinned else ():
        attempt(case)
    # inputs are not shrunk here: going on finds every kind of failure, and short inputs come by themselves
    every = seed(number)(settings(QUIET, max_examples=count)(given(target.strategy())(attempt)))
    every()
    tally.seconds = time.perf_counter() - start
    return tally


def threads_off() -> None:
    """One thread per process: the pool fills the cores."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
