"""A process that reads a store all the time: `python -m tests.reliability.watching STORE TRUTHS STOP`.

Every row of every run is compared with the undisturbed run in TRUTHS whose name the name of the run begins with. A run
is refreshed only now and then, so that the reader meets parts that were removed meanwhile. Ends when there is a file
STOP, and prints one JSON document.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from storage import RunReader, Store, list_runs
from tests.reliability.ground_truth import Truth, tables_of

STATES = {"running", "finished", "interrupted"}
REFRESH_EVERY = 3
MOST_ERRORS = 20
PAUSE_SECONDS = 0.1


@dataclass
class Seen:
    """What a reader has to say at the end."""

    looks: int = 0
    versions: int = 0  # different states of runs
    rows: int = 0
    samples: dict[str, int] = field(default_factory=dict)  # of each run, when last seen
    errors: list[str] = field(default_factory=list)


class Watcher:
    """Readers of all runs of a store, kept open."""

    def __init__(self, store: Path, truths: Path) -> None:
        self.store = Store.open(store)
        self.truths = {folder.name: Truth.read(folder) for folder in truths.iterdir()}
        self.readers: dict[str, RunReader] = {}
        self.versions: dict[str, set[str]] = {}
        self.seen = Seen()

    def look(self) -> None:
        """Read everything that there is once."""
        self.seen.looks += 1
        wrong = [row for row in list_runs(self.store) if row["state"] not in STATES]
        assert not wrong, f"a run is listed as {wrong}"
        for run in self.store.run_ids():
            self._read(run)

    def _read(self, run: str) -> None:
        reader = self.readers.get(run) or self.store.reader(run)
        self.readers[run] = reader
        versions = self.versions.setdefault(run, set())
        if self.seen.looks % REFRESH_EVERY == 0:
            reader.refresh()
            reader.suspects()
        elif reader.version in versions and reader.record.state == "finished" and self.seen.looks % 10:
            return
        truth = next(truth for name, truth in self.truths.items() if run.startswith(name))
        tables = tables_of(reader)
        self.seen.rows += truth.check(tables)
        samples = len(tables["samples"])
        assert samples >= self.seen.samples.get(run, 0), f"{run} had {self.seen.samples[run]} samples, now {samples}"
        self.seen.samples[run] = samples
        versions.add(reader.version)

    def watch(self, stop: Path) -> Seen:
        """Look until there is a file `stop`, and once more at all that is there then; an error is kept, and the next
        look begins."""
        after = 0
        while after < REFRESH_EVERY and len(self.seen.errors) < MOST_ERRORS:
            after += stop.exists()
            try:
                self.look()
            except Exception as error:  # whatever it is: it must not happen
                self.seen.errors.append(f"{type(error).__name__}: {error}"[:500])
            time.sleep(PAUSE_SECONDS)
        self.seen.versions = sum(len(versions) for versions in self.versions.values())
        return self.seen


if __name__ == "__main__":
    print(json.dumps(asdict(Watcher(Path(sys.argv[1]), Path(sys.argv[2])).watch(Path(sys.argv[3])))))
