"""What can go wrong with a store, each in one clear line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StoreError(Exception):
    """Base of every error of this package; the message is one line for people."""


class UnknownRun(StoreError):
    """The store has no run of this name."""


class StoreTooNew(StoreError):
    """The store was made by a newer version of the software."""


class RunLocked(StoreError):
    """Another process is writing this run."""


class SpecMismatch(StoreError):
    """The run exists already, with other settings."""


class UnknownColumn(StoreError):
    """A query names a column that the run does not have."""


def suggest(name: str, known: Iterable[str], limit: int = 12) -> str:
    """The tail of an error message: the nearest valid name and some of those available."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    if not names:
        return hint
    shown = ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
    return f"{hint} (available: {shown})" if hint else f"; available: {shown}"
