"""Many inputs of one target in this process."""

from __future__ import annotations

import os
import pickle
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.reliability.fuzz.target import REFUSED, RIGHT, Target

LONGEST_INPUT = 2000  # characters of a failing input in the report


@dataclass
class Tally:
    """How the inputs of one target ended. `failures` are {"input", "problem"}, shrunk; `slowest` is in seconds."""

    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    slowest: float = 0.0

    def add(self, other: Tally) -> None:
        self.inputs += other.inputs
        self.outcomes.update(other.outcomes)
        known = {failure["problem"] for failure in self.failures}
        self.failures += [failure for failure in other.failures if failure["problem"] not in known]
        self.seconds += other.seconds
        self.slowest = max(self.slowest, other.slowest)

    def row(self) -> dict[str, Any]:
        """As a row of the report."""
        row = asdict(self) | {"outcomes": None, RIGHT: self.outcomes[RIGHT], REFUSED: self.outcomes[REFUSED]}
        return {k: round(v, 2) if isinstance(v, float) else v for k, v in row.items() if k != "outcomes"}


def try_many(target: Target, count: int, number: int, journal: Path | None = None, pinned: bool = True) -> Tally:
    """`count` inputs of `target`, the same for the same `number`; a failing one is shrunk and ends the call.

    With a `journal` every input is written there before it is tried, so that whoever started this process knows the one
    that it died of.
    """
    tally, start = Tally(), time.perf_counter()
    check = _counted(target.check, tally, journal)
    for case in target.pinned if pinned else ():
        _keep_failure(tally, lambda case=case: check(case))  # type: ignore[misc]

    last: list[Any] = [None]

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        print_blob=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.strategy())
    def explore(case: Any) -> None:
        last[0] = case
        check(case)

    _keep_failure(tally, explore, last)
    tally.seconds = time.perf_counter() - start
    return tally


def _counted(check: Callable[[Any], str], tally: Tally, journal: Path | None) -> Callable[[Any], str]:
    def counted(case: Any) -> str:
        if journal is not None:
            journal.write_bytes(pickle.dumps(repr(case)[:LONGEST_INPUT]))
        tally.inputs += 1
        begun = time.perf_counter()
        outcome = check(case)
        tally.slowest = max(tally.slowest, time.perf_counter() - begun)
        assert outcome in (RIGHT, REFUSED), outcome
        tally.outcomes[outcome] += 1
        return outcome

    return counted


def _keep_failure(tally: Tally, work: Callable[[], Any], last: list[Any] | None = None) -> None:
    """Run `work`; what it raises is a failure of the input tried last (hypothesis ends with the smallest)."""
    try:
        work()
    except AssertionError as error:
        case = last[0] if last else "a pinned input"
        tally.failures.append({"input": repr(case)[:LONGEST_INPUT], "problem": str(error)[:LONGEST_INPUT]})


def threads_off() -> None:
    """One thread per process: the pool fills the cores."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
