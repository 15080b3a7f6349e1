"""What both sides of a mirror held when they last agreed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from storage.atomic import write_json


@dataclass(frozen=True)
class State:
    """A file on both sides: size and mark there, size and time (ns) here."""

    there: list[str]
    here: list[int] | None


class Index:
    """The states by name, in a JSON file. A lost or damaged one costs copying everything once more."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, State]:
        """The states; empty before the first agreement."""
        try:
            return {name: State(*state) for name, state in json.loads(self.path.read_text()).items()}
        except (FileNotFoundError, ValueError, TypeError, AttributeError):
            return {}

    def write(self, states: dict[str, State]) -> None:
        """Keep the states."""
        write_json(self.path, {name: [state.there, state.here] for name, state in states.items()})
