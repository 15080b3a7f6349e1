"""What can go wrong with a store, each in one clear line."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

LONGEST = 1000  # characters of a message; a column of a broken file may have a name of megabytes
UNSHOWN = ("Cc", "Cs", "Zl", "Zp")  # categories of characters that move a terminal's cursor, or cannot be written
UPGRADE = "upgrade relevancy-audit: in its folder, git pull && make setup"
MEND = "to mend it: "  # what follows is a command
REORDERING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


class StoreError(Exception):
    """Base of every error of this package; the message is one line for people, whatever names it quotes."""

    def __str__(self) -> str:
        return line(super().__str__())


def line(text: str, limit: int = LONGEST) -> str:
    """`text` as one line that can be shown anywhere; of a long one the middle is left out."""
    text = " ".join(text.split())
    if len(text) > limit:
        text = f"{text[: limit * 2 // 3]} … {text[-limit // 3 + 3 :]}"
    return "".join("\N{REPLACEMENT CHARACTER}" if _unshown(character) else character for character in text)


def _unshown(character: str) -> bool:
    return unicodedata.category(character) in UNSHOWN or character in REORDERING


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
