"""How far a run is. Counts come from the manifests, speed and plan from the writer's heartbeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from storage.atomic import read_json
from storage.layout import RunLayout
from storage.lock import is_locked
from storage.manifests import Snapshot, take_snapshot
from storage.record import RunRecord
from storage.wellformed import is_number


@dataclass(frozen=True)
class Progress:
    """Progress of one run. `samples` is the size of the dataset, None while the writer has not said it.

    `explained` and `failed` count committed samples, `seconds_*` sum over the committed parts, `live` is true
    while a process holds the run's writer lock. Speed and remaining time are the writer's own; the remaining
    time is None when it has gone.
    """

    samples: int | None
    explained: int
    failed: int
    parts_done: int
    parts_total: int | None
    seconds_read: float
    seconds_compute: float
    seconds_write: float
    samples_per_second: float | None
    eta_seconds: float | None
    live: bool
    updated_at: str | None


def read_progress(run: RunLayout, record: RunRecord, snapshot: Snapshot | None = None) -> Progress:
    """The progress of a run as it is on disk now."""
    live = is_locked(run.lock)
    beat = _heartbeat(run)
    seen = take_snapshot(run) if snapshot is None else snapshot
    contents = seen.contents
    return Progress(
        samples=_first(_number(beat, "samples"), _number(record.dataset, "samples")),
        explained=contents.samples,
        failed=contents.failed,
        parts_done=len(seen.committed),
        parts_total=_number(beat, "parts_total"),
        seconds_read=contents.seconds.get("read", 0.0),
        seconds_compute=contents.seconds.get("compute", 0.0),
        seconds_write=contents.seconds.get("write", 0.0),
        samples_per_second=_number(beat, "samples_per_second"),
        eta_seconds=_number(beat, "eta_seconds") if live else None,
        live=live,
        updated_at=_first(_text(beat, "updated_at"), record.finished_at),
    )


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _number(found: dict[str, Any], name: str) -> Any:
    """A number of a file that may be damaged, None in place of anything else."""
    value: Any = found.get(name)
    return value if is_number(value) and value >= 0 else None


def _text(found: dict[str, Any], name: str) -> str | None:
    value = found.get(name)
    return value if isinstance(value, str) else None


def _heartbeat(run: RunLayout) -> dict[str, Any]:
    """The writer's last words; empty before the first, or when they are damaged."""
    try:
        beat = read_json(run.progress)
    except (OSError, ValueError, RecursionError):
        return {}
    return beat if isinstance(beat, dict) else {}
