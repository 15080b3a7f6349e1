"""The newest state of a run that is being written, for readers that must not be moved under whoever uses them."""

from __future__ import annotations

import threading
import weakref

from storage.layout import RunLayout
from storage.manifests import take_snapshot
from storage.memory import Memory
from storage.reader import RunReader


class Newest:
    """Gives readers of one run that stay at the state they were opened at. Threads share it.

    An answer is often put together from several queries (which samples pass, in which order, how many there are).
    `RunReader.refresh` between two of them gives arrays of different lengths; so here a run that has grown gets
    another reader, and the one before lives until nobody holds it any more.
    """

    def __init__(self, run: RunLayout) -> None:
        self.run = run
        self._guard = threading.Lock()
        self._reader: RunReader | None = None

    def reader(self) -> RunReader:
        """A reader of everything that is committed now; the same one as before when nothing has changed."""
        with self._guard:
            before = self._reader
            if before is not None and before.version == take_snapshot(self.run, verified=True).version:
                return before
            reader = RunReader(self.run)
            if before is not None:
                reader.facts.update(before.facts)  # of sealed segments, which are still the same
            weakref.finalize(reader, _forget, reader.arrays, reader._token)
            self._reader = reader
            return reader

    def close(self) -> None:
        """Let go of all files of the newest state."""
        with self._guard:
            if self._reader is not None:
                self._reader.close()
            self._reader = None


def _forget(arrays: Memory, token: object) -> None:
    """Let go of what a reader that is gone has kept."""
    arrays.forget(lambda key: key[0] is token)
