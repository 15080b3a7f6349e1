"""All runs of a store at a glance, without opening any of their data."""

from __future__ import annotations

from typing import Any

from storage.errors import StoreError
from storage.progress import read_progress
from storage.record import read_record
from storage.store import Store


def list_runs(store: Store) -> list[dict[str, Any]]:
    """One row per run, newest first; `state` is 'interrupted' for a run whose process is gone without a word.

    A run that cannot be read has state 'unreadable' and the reason in `problem`.
    """
    return [run_row(store, run_id) for run_id in store.run_ids()]


def run_row(store: Store, run_id: str) -> dict[str, Any]:
    """The row of one run; UnknownRun for a wrong name."""
    run = store.layout_of(run_id)
    try:
        record = read_record(run)
        progress = read_progress(run, record)
    except StoreError as error:
        return {**_row(run_id), "problem": str(error)}
    gone = record.state == "running" and not progress.live
    return {
        **_row(run_id),
        "state": "interrupted" if gone else record.state,
        "live": progress.live,
        "model": record.model.get("name") or record.spec.get("model"),
        "method": record.spec.get("method"),
        "target": record.spec.get("target"),
        "dataset": record.dataset.get("root"),
        "samples": progress.samples,
        "explained": progress.explained,
        "failed": progress.failed,
        "samples_per_second": progress.samples_per_second,
        "eta_seconds": progress.eta_seconds,
        "created_at": record.created_at,
        "finished_at": record.finished_at,
    }


def _row(run_id: str) -> dict[str, Any]:
    """A row with nothing known."""
    return {
        "run": run_id,
        "state": "unreadable",
        "live": False,
        "model": None,
        "method": None,
        "target": None,
        "dataset": None,
        "samples": None,
        "explained": 0,
        "failed": 0,
        "samples_per_second": None,
        "eta_seconds": None,
        "created_at": None,
        "finished_at": None,
        "problem": None,
    }
