"""Errors of the engine: every message names the object, the need and, where there is one, the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 1000  # characters of a message; libraries quote whole configurations in theirs


class EngineError(Exception):
    """Base class: the request cannot be carried out; the model is left as it was found. The message is one line."""

    def __str__(self) -> str:
        text = " ".join(super().__str__().split())
        if len(text) > LONGEST:
            text = f"{text[: LONGEST * 2 // 3]} … {text[-LONGEST // 3 + 3 :]}"
        # letters of every alphabet are printable; what moves a terminal's cursor is not
        return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class UnsupportedModel(EngineError):
    """The model's attention cannot be captured faithfully, or no adapter knows its class."""


class CaptureError(EngineError):
    """The forward pass did not produce the attention maps that the adapter announced."""


class UnknownName(EngineError):
    """A method, target or model name that does not exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"unknown {kind} {name!r}{suggestion(name, known)}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'a', 'b'?"``, or the list of valid names when none is near."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return f"; did you mean {', '.join(repr(n) for n in near)}?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"; available: {shown}" if names else ""
