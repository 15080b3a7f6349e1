"""What an auditor answers: groups of samples that it suspects, worst first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.spurious.subject import Subject


@dataclass(frozen=True)
class Slice:
    """A suspected group of samples.

    `class_index` is the class it speaks of, `members` indices of samples, strongest first, `score` what the list is
    ranked by, `flagged` whether the auditor stands by it (an alarm), `status` what its own checks said.
    """

    class_index: int
    members: tuple[int, ...]
    score: float
    flagged: bool = False
    status: str = "unverified"
    kind: str = ""


Auditor = Callable[[Subject], list[Slice]]
"""Takes a model with its dataset and returns suspects, the most suspicious first."""
