"""Tests that need the machine for themselves, where tests run side by side in several processes.

Every test holds a lock while it runs, which it shares with the others; one marked `alone` shares it with nobody.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = "RELEVANCY_AUDIT_TEST_LOCKS"  # in the environment, which the processes of a test run get from the first one


def make_locks() -> None:
    """A folder for the locks of this test run."""
    os.environ[FOLDER] = tempfile.mkdtemp(prefix="relevancy-audit-locks-")


def remove_locks() -> None:
    shutil.rmtree(os.environ.pop(FOLDER), ignore_errors=True)


@contextmanager
def room(alone: bool) -> Iterator[None]:
    """Wait until this test may run: until no test is alone, and for one that is `alone` until no other test runs."""
    folder = Path(os.environ[FOLDER])
    with (folder / "door").open("w") as door, (folder / "room").open("w") as inside:
        fcntl.flock(door, fcntl.LOCK_EX)  # nobody passes one that waits, so it need not wait for long
        fcntl.flock(inside, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(inside, fcntl.LOCK_UN)  # closing is not enough: a process forked by the test has it open too
