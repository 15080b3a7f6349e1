"""Sending a run to where its store lives while it is written."""

from __future__ import annotations

import threading
from types import TracebackType

from storage.errors import StoreError
from storage.remote.mirror import Mirror

SECONDS = 15.0


class Sending:
    """Sends a run every few seconds, and once more at the end; use around the writer. Without a mirror it does nothing.

    A store that cannot be reached meanwhile stops nothing: the parts are safe here, and are sent later. At the end it
    is an error that says how many wait, unless another one is on its way.
    """

    def __init__(self, mirror: Mirror | None, run_id: str, seconds: float = SECONDS) -> None:
        self._mirror = mirror
        self._run = run_id
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go, name="sending", daemon=True)

    def __enter__(self) -> Sending:
        """Begin."""
        if self._mirror is not None:
            self._thread.start()
        return self

    def _go(self) -> None:
        assert self._mirror is not None
        while not self._over.wait(self._seconds):
            try:
                self._mirror.push(self._run)
            except StoreError:
                continue  # the end tells

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send the rest."""
        if self._mirror is None:
            return
        self._over.set()
        self._thread.join()
        try:
            self._mirror.push(self._run)
        except StoreError:
            if error is None:
                raise
