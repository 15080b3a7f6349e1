"""Removing what killed processes left, and nothing that a living one is writing."""

from __future__ import annotations

from pathlib import Path

from storage.atomic import sweep_temporary
from storage.errors import RunLocked
from storage.layout import RunLayout
from storage.lock import FileLock


def sweep_run(run: RunLayout) -> None:
    """Sweep a run whose lock the caller holds. Lists of suspects and evaluations have locks of their own: what somebody
    who holds one is writing stays."""
    for folder in (run.parts, run.segments):
        sweep_temporary(folder)
    for file in (run.record, run.progress):
        sweep_temporary(run.folder, file.name)
    _sweep_beside(run.suspects, run.suspects_lock)
    _sweep_beside(run.faithfulness, run.faithfulness_lock)


def _sweep_beside(file: Path, locked: Path) -> None:
    """Sweep what is left of a file, unless somebody holds its lock."""
    if not locked.exists():  # nobody ever wrote it
        return
    lock = FileLock(locked, file.name)
    try:
        lock.acquire(patience=0.0)
    except RunLocked:
        return
    try:
        sweep_temporary(file.parent, file.name)
    finally:
        lock.release()
