"""Trying again what a network has failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from storage.errors import StoreError

Result = TypeVar("Result")
WAITS = (0.5, 1.0, 2.0, 4.0)  # seconds before the second, third, ... attempt
# What no second attempt changes; all else may be the network: every backend has errors of its own.
LASTING = (
    StoreError,
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    ImportError,
    NotImplementedError,
    TypeError,
    ValueError,
)


def patiently(work: Callable[[], Result]) -> Result:
    """`work()`, which may be done twice; tried again a few times, with longer and longer waits. Raises the last."""
    for wait in WAITS:
        try:
            return work()
        except LASTING:
            raise
        except Exception:
            time.sleep(wait)
    return work()
