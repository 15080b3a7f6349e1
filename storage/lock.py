"""One writer per run: an flock that dies with its process, so a killed job never blocks the next one."""

from __future__ import annotations

import fcntl
import os
import socket
import time
import weakref
from pathlib import Path

from storage.errors import RunLocked, StoreError

# A probe of `is_locked` holds a shared lock for microseconds; a writer that meets one tries again.
PATIENCE_SECONDS = 1.0
_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    """An exclusive lock on a file, held until `release` or until the process is gone."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.what = what
        self._handle: int | None = None

    def acquire(self, patience: float = PATIENCE_SECONDS) -> None:
        """Take the lock; RunLocked names the process that has it."""
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _flock_exclusive(handle, patience)
        except BlockingIOError:
            os.close(handle)
            raise RunLocked(
                f"{self.what} is being written by {owner(self.path)}; wait for it to end, or stop it, and "
                "run the same command again"
            ) from None
        except OSError as error:
            os.close(handle)
            raise StoreError(f"{self.what} cannot be locked ({self.path}: {error.strerror})") from error
        self._handle = handle
        _held.add(self)
        self._sign(handle)

    def _sign(self, handle: int) -> None:
        """Say who holds it; only for people, so a full disk does not matter here."""
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
        except OSError:
            pass

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
            _held.discard(self)


def _flock_exclusive(handle: int, patience: float) -> None:
    """Exclusive flock within `patience` seconds, else BlockingIOError."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.02)


def owner(path: Path) -> str:
    """Who signed the lock, in words."""
    try:
        pid, host = path.read_text().split()[:2]
    except (OSError, ValueError):
        return "another process"
    where = "" if host == socket.gethostname() else f" on {host}"
    return f"process {pid}{where}"


def is_locked(path: Path) -> bool:
    """Whether a writer holds the lock. Never waits, never takes it from anyone."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks: nobody can hold one
        return False
    finally:
        os.close(handle)


def _forget_in_child() -> None:
    """A forked worker must not keep the lock of its killed parent alive."""
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_forget_in_child)
