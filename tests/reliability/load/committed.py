"""Which parts of a run are committed at a moment, read from the names of its files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


def committed_parts(run: Path) -> int:
    """How many parts are committed. One process writes them in order, so that they are the first ones.

    Raises AssertionError where they are not.
    """
    parts = {int(file.stem) for file in run.glob("parts/[0-9]*.json")}  # before the segments: sealed ones go
    for file in run.glob("segments/[0-9]*.json"):
        parts.update(json.loads(file.read_bytes())["parts"])
    assert parts == set(range(len(parts))), f"{run.name}: the committed parts are not the first ones: {sorted(parts)}"
    return len(parts)


@dataclass(frozen=True)
class Window:
    """The numbers of committed parts between the moment before a page was asked for and the one after it was read."""

    first: int
    last: int

    @property
    def moments(self) -> range:
        """Every number of committed parts that the page may rightly show."""
        return range(self.first, self.last + 1)
