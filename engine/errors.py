"""Errors of the engine: every message names the object, the need and, where there is one, the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EngineError(Exception):
    """Base class: the request cannot be carried out; the model is left as it was found."""


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
