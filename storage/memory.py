"""Arrays that cost time to make and may be forgotten: the longest unused go when there is no room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

LIMIT = 384 << 20


class Sized(Protocol):
    """What tells its size in memory, as arrays do."""

    @property
    def nbytes(self) -> int:
        """Bytes."""


Value = TypeVar("Value", bound=Sized)


class Memory:
    """Values by key, at most `limit` bytes of them. Threads that ask for the same new value wait for one to make it;
    nothing else waits meanwhile."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._guard = threading.Lock()
        self._kept: OrderedDict[Hashable, Sized] = OrderedDict()
        self._making: dict[Hashable, Future[Any]] = {}
        self._bytes = 0

    @property
    def nbytes(self) -> int:
        """What the values take now."""
        return self._bytes

    def __contains__(self, key: Hashable) -> bool:
        """Whether the value of this key is kept now."""
        with self._guard:
            return key in self._kept

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of this key, made now when it is not kept. A value larger than the limit is not kept."""
        with self._guard:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]  # type: ignore[return-value]
            waiting = self._making.get(key)
            if waiting is None:
                mine: Future[Value] = Future()
                self._making[key] = mine
        if waiting is not None:
            return waiting.result()
        try:
            value = make()
        except BaseException as error:
            with self._guard:
                del self._making[key]
            mine.set_exception(error)
            raise
        with self._guard:
            del self._making[key]
            self._keep(key, value)
        mine.set_result(value)
        return value

    def _keep(self, key: Hashable, value: Sized) -> None:
        if value.nbytes > self.limit:
            return
        self._kept[key] = value
        self._bytes += value.nbytes
        while self._bytes > self.limit:
            _, forgotten = self._kept.popitem(last=False)
            self._bytes -= forgotten.nbytes

    def forget(self, which: Callable[[Any], bool]) -> None:
        """Let go of the values whose key passes."""
        with self._guard:
            for key in [key for key in self._kept if which(key)]:
                self._bytes -= self._kept.pop(key).nbytes


SHARED = Memory()
"""One for all readers of a process, so that many open runs take no more room than one."""
