"""Keeping the mirror of a store up to date for those who look at it."""

from __future__ import annotations

import threading

from storage.errors import StoreError
from storage.remote.mirror import Mirror

SECONDS = 20.0


class Following:
    """Pulls a store again and again from a thread, until `stop` or the end of the process.

    `problem` says why the last pull failed; None while all is well. What was pulled before stays readable.
    """

    def __init__(self, mirror: Mirror, seconds: float = SECONDS) -> None:
        self.problem: str | None = None
        self._mirror = mirror
        self._seconds = seconds
        self._over = threading.Event()
        self._pull()
        threading.Thread(target=self._go, name="following", daemon=True).start()

    def _go(self) -> None:
        while not self._over.wait(self._seconds):
            self._pull()

    def _pull(self) -> None:
        try:
            self._mirror.pull()
            self.problem = None
        except StoreError as error:
            self.problem = str(error)

    def stop(self) -> None:
        """Pull no more."""
        self._over.set()
