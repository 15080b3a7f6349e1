"""Errors of the command line and of the batch pipeline."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class JobError(Exception):
    """Wrong use or wrong input. The message is one clear line, shown to the user as it is."""

    def __str__(self) -> str:
        from storage.errors import line  # with an error in hand there is time to import it

        return line(super().__str__())


class Interrupted(JobError):
    """The run was stopped from outside; every finished part is safe in the store."""


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Up to `count` names of `known` that look like `name`, best first; case does not matter."""
    by_lower = {item.lower(): item for item in known}
    return [by_lower[match] for match in difflib.get_close_matches(name.lower(), by_lower, count, cutoff=0.6)]


def unknown(kind: str, name: str, known: Iterable[str]) -> JobError:
    """The error for a name nobody knows: it offers the nearest names, or all when there are few."""
    known = list(known)
    close = nearest(name, known)
    if close:
        hint = f"; did you mean {' or '.join(close)}?"
    elif 0 < len(known) <= 12:
        hint = f"; there is {', '.join(known)}"
    else:
        hint = ""
    return JobError(f"unknown {kind} '{name}'{hint}")


def printable(text: str) -> str:
    """The text with escapes for what a terminal or a log would act upon."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def one_line(error: BaseException, limit: int = 300) -> str:
    """The message of any exception on a single line, its type in front when the message says too little."""
    text = printable(" ".join(str(error).split()))
    if not text:
        return type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
