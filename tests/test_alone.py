"""A test that needs the machine for itself gets it, and soon."""

from __future__ import annotations

import fcntl
import threading
import time
from pathlib import Path

import pytest

from tests import alone


class Visitor:
    """A test in a thread of its own, which stays until it is told to leave."""

    def __init__(self, wants: bool) -> None:
        self.entered, self.told = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._visit, args=(wants,), daemon=True)
        self.thread.start()

    def _visit(self, wants: bool) -> None:
        with alone.room(alone=wants):
            self.entered.set()
            self.told.wait()

    def leave(self) -> None:
        self.told.set()
        self.thread.join()


def held(lock: Path) -> bool:
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_others_share_the_room_and_wait_for_one_that_is_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(alone.FOLDER, str(tmp_path))
    first, second = Visitor(False), Visitor(False)
    assert first.entered.wait(20) and second.entered.wait(20)
    quiet = Visitor(True)
    while not held(tmp_path / "door"):
        time.sleep(0.01)
    first.leave()
    assert not quiet.entered.wait(0.2)
    late = Visitor(False)
    assert not late.entered.wait(0.2), "it came after one that waits to be alone"
    second.leave()
    assert quiet.entered.wait(20)
    assert not late.entered.wait(0.2)
    quiet.leave()
    assert late.entered.wait(20)
    late.leave()
