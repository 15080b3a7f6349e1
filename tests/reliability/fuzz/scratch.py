"""Folders of a process that tries inputs; they are gone when it ends."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

_KEPT: list[tempfile.TemporaryDirectory[str]] = []  # removed with the process


@cache
def scratch(name: str) -> Path:
    """The folder of this process for `name`, empty at first."""
    _KEPT.append(tempfile.TemporaryDirectory(prefix=f"fuzz_{name}_"))
    return Path(_KEPT[-1].name).resolve()
