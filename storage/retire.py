"""Removing parts that a sealed segment has replaced, once no reader can still be looking at them."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from storage.errors import StoreError
from storage.layout import RunLayout, StoreLayout
from storage.lock import FileLock
from storage.manifests import SegmentManifest, take_snapshot

# A reader that does not refresh for this long meets a missing file once, refreshes and goes on.
GRACE_SECONDS = 600.0


def expired_parts(run: RunLayout, segments: tuple[SegmentManifest, ...], grace: float) -> list[int]:
    """Parts sealed more than `grace` seconds ago whose files are still there."""
    limit = datetime.now(UTC).timestamp() - grace
    old = [s for s in segments if datetime.fromisoformat(s.sealed_at).timestamp() <= limit]
    return [part for s in old for part in s.parts if run.part(part).exists() or run.part_manifest(part).exists()]


def remove_retired(run: RunLayout, grace: float = GRACE_SECONDS) -> int:
    """Delete retired parts of a run whose lock the caller holds; returns how many."""
    parts = expired_parts(run, take_snapshot(run).segments, grace)
    for part in parts:
        run.part_manifest(part).unlink(missing_ok=True)
        run.part(part).unlink(missing_ok=True)
    return len(parts)


def remove_retired_elsewhere(store: StoreLayout, busy: RunLayout, grace: float = GRACE_SECONDS) -> None:
    """The same for the store's other runs, as a finished run is never entered again; skips what is in use."""
    for folder in store.runs.iterdir():
        run = store.run(folder.name)
        if run.run_id == busy.run_id or not run.segments.is_dir():
            continue
        with contextlib.suppress(StoreError, OSError, ValueError):
            if not expired_parts(run, take_snapshot(run).segments, grace):
                continue
            lock = FileLock(run.lock, f"run {run.run_id!r}")
            lock.acquire(patience=0.0)
            try:
                remove_retired(run, grace)
            finally:
                lock.release()
