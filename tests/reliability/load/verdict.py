"""What was found on one page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.reliability.load.committed import Window
from tests.reliability.load.reading import Seen


@dataclass
class Verdict:
    """What was found on one page: how much was compared, and what is wrong.

    `wrong` are rows, values and numbers that no moment of the window explains, `mixed` are pages whose pieces are each
    right, but of different moments.
    """

    rows: int = 0
    values: int = 0
    wrong: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)

    def compare(self, name: str, shown: Any, wanted: Any) -> None:
        """Count a value, and say when it is another one."""
        self.values += 1
        if shown != wanted:
            self.wrong.append(f"{name}: shown {shown!r}, expected {wanted!r}")

    def one_moment(self, told: dict[str, set[int]], moments: range) -> None:
        """Every piece is right at some moment of the window, and all of them at the same one.

        `told` names for each piece of the page the moments at which it is right.
        """
        self.values += len(told)
        for name, right in told.items():
            if not right:
                self.wrong.append(f"{name}: right at no moment from {moments.start} to {moments.stop - 1} parts")
        if told and all(told.values()) and not set.intersection(*told.values()):
            self.mixed.append("; ".join(f"{name} is of {sorted(right)} parts" for name, right in told.items()))


def not_begun(seen: Seen, window: Window, verdict: Verdict) -> bool:
    """Whether the page says that no sample is explained yet, or that none matches; right only at such a moment."""
    said = " ".join(seen.alerts)
    if "has just begun" in said:
        verdict.compare("a run that has just begun", window.first, 0)
        return True
    return False
