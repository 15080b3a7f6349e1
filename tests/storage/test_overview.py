"""The list of runs."""

from __future__ import annotations

import time

from storage import Store, list_runs, run_row
from tests.storage import audit

FIELDS = {
    "run", "state", "live", "model", "method", "target", "dataset", "samples", "explained", "failed",
    "samples_per_second", "eta_seconds", "created_at", "finished_at", "problem",
}  # fmt: skip


def test_newest_first_with_all_fields(store: Store) -> None:
    for run in ("b", "c", "a"):
        with store.writer(run, audit.record()) as writer:
            audit.commit(writer, 0)
            writer.finish("finished")
        time.sleep(0.005)
    assert store.run_ids() == ["a", "c", "b"]
    rows = list_runs(store)
    assert [row["run"] for row in rows] == ["a", "c", "b"]
    for row in rows:
        assert set(row) == FIELDS
        assert (row["state"], row["live"], row["model"], row["method"]) == ("finished", False, "tiny", "gae")
        assert (row["target"], row["dataset"], row["samples"]) == ("predicted", "/data", 64)
        assert (row["explained"], row["failed"]) == (len(audit.explained_ids(0)), 1)
        assert row["created_at"] < row["finished_at"]
        assert row["problem"] is None


def test_a_running_run_is_live_and_a_dead_one_interrupted(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        writer.update_progress({"samples_per_second": 4.0, "eta_seconds": 9.0})
        row = run_row(store, "run")
        assert (row["state"], row["live"], row["eta_seconds"]) == ("running", True, 9.0)
        record = writer.run.record.read_bytes()
    writer.run.record.write_bytes(record)  # as a killed process leaves it
    row = run_row(store, "run")
    assert (row["state"], row["live"], row["eta_seconds"]) == ("interrupted", False, None)
    assert store.record("run").state == "running"


def test_one_broken_run_does_not_hide_the_others(store: Store) -> None:
    for run in ("good", "bad"):
        with store.writer(run, audit.record()) as writer:
            pass
    writer.run.record.write_text("{ not json")
    (store.layout.runs / "no-run").mkdir()
    (store.layout.runs / "stray-file").write_text("")
    rows = {row["run"]: row for row in list_runs(store)}
    assert set(rows) == {"good", "bad"}
    assert rows["bad"]["state"] == "unreadable" and "run.json" in rows["bad"]["problem"]
    assert set(rows["bad"]) == FIELDS
