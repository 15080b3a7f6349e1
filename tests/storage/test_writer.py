"""Committing, sealing, resuming, tidying up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage import SCHEMA_VERSION, RunLocked, RunWriter, SpecMismatch, Store, StoreError, parts_table
from storage.lock import is_locked
from tests.storage import audit

ROOT = Path(__file__).parents[2]


def sample_ids(store: Store, run: str = "run") -> list[int]:
    with store.reader(run) as reader:
        return [row["sample_id"] for row in reader.query("SELECT sample_id FROM samples ORDER BY sample_id")]


def state(store: Store) -> str:
    return store.record("run").state


# -- parts ------------------------------------------------------------------------------------------------


def test_commit_leaves_exactly_two_files_and_a_true_manifest(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        assert writer.committed == set()
        audit.commit(writer, 3)
        assert writer.committed == {3}
    assert sorted(os.listdir(writer.run.parts)) == ["00003.json", "00003.parquet"]
    manifest = json.loads(writer.run.part_manifest(3).read_text())
    explained = audit.explained_ids(3)
    assert manifest["bytes"] == writer.run.part(3).stat().st_size
    assert manifest["failures"] == audit.part_failures(3)
    assert manifest["contents"] == {
        "rows": 4 * len(explained), "samples": len(explained), "failed": len(audit.part_failures(3)),
        "min_id": explained[0], "max_id": explained[-1], "image_widths": [49], "text_widths": [16, 32],
        "feature_widths": [16, 32], "varied_widths": [], "patch_widths": [24], "embedding_widths": [20],
        "seconds": {"read": 1.0, "compute": 2.0, "write": 0.5},
    }  # fmt: skip


def test_committing_a_part_again_changes_nothing(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        assert writer.commit_part(0, audit.part_table(0)) is True
        before = writer.run.part(0).read_bytes()
        assert writer.commit_part(0, audit.part_table(1)) is False
        assert writer.run.part(0).read_bytes() == before
        writer.seal()
        assert writer.commit_part(0, audit.part_table(1)) is False
    assert sample_ids(store) == audit.explained_ids(0)


def test_a_part_of_failures_only(store: Store) -> None:
    failures = [{"sample_id": i, "uri": f"{i}.jpg", "reason": "empty file"} for i in range(3)]
    with store.writer("run", audit.record()) as writer, store.reader("run") as reader:
        writer.commit_part(0, parts_table([], audit.METADATA), failures=failures)
        for _ in ("tail", "sealed"):
            assert reader.refresh()
            assert reader.query("FROM failures ORDER BY sample_id") == [{**f, "part": 0} for f in failures]
            assert reader.progress().failed == 3
            assert reader.query("FROM samples") == []
            writer.seal()


def test_rows_are_sorted_and_missing_columns_filled(store: Store) -> None:
    table = audit.part_table(0).drop_columns(["clip_percentile", "camera"])
    shuffled = table.take(pa.array(list(range(len(table)))[::-1]))
    with store.writer("run", audit.record()) as writer:
        writer.commit_part(0, shuffled)
    stored = pq.read_table(writer.run.part(0))
    assert stored["sample_id"].to_pylist() == sorted(table["sample_id"].to_pylist())
    assert stored["camera"].null_count == len(stored)


def test_nan_in_optional_numbers_becomes_empty(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0)
    stored = {row["sample_id"]: row for row in pq.read_table(writer.run.part(0)).to_pylist()}
    assert stored[3]["entropy"] is None
    assert stored[6]["exposure"] is None
    assert stored[4]["entropy"] is not None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t.append_column("scroe", t["score"]), "unknown column 'scroe'; did you mean 'score'"),
        (lambda t: t.drop_columns(["score"]), "'score' of sample 0 is empty"),
        (lambda t: t.set_column(t.column_names.index("text"), "text", t["map"]), "column 'text' of the part has type"),
        (lambda t: pa.concat_tables([t, t.slice(0, 1)]), "sample 0 has target 'predicted', modality 'image' twice"),
        (lambda t: t.slice(1), "exactly one row of each sample"),
    ],
)
def test_a_bad_table_is_refused_and_nothing_written(store: Store, spoil: Any, said: str) -> None:
    with store.writer("run", audit.record()) as writer:
        with pytest.raises(StoreError, match=said):
            writer.commit_part(0, spoil(audit.part_table(0)))
        assert writer.committed == set()
        assert os.listdir(writer.run.parts) == []


def test_unknown_modality_and_bad_failure(store: Store) -> None:
    row = {**audit.rows(0)[0], "modality": "sound"}
    with store.writer("run", audit.record()) as writer:
        with pytest.raises(StoreError, match="unknown modality 'sound'; available: image, text"):
            writer.commit_part(0, parts_table([row], audit.METADATA))
        with pytest.raises(StoreError, match="lacks reason"):
            writer.commit_part(0, audit.part_table(0), failures=[{"sample_id": 1, "uri": "a"}])
        with pytest.raises(StoreError, match="negative"):
            writer.commit_part(-1, audit.part_table(0))


# -- life cycle -------------------------------------------------------------------------------------------


def test_states(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        assert state(store) == "running"
    assert state(store) == "interrupted"
    with pytest.raises(ZeroDivisionError), store.writer("run", audit.record()):
        _ = 1 / 0
    assert state(store) == "interrupted"
    with store.writer("run", audit.record()) as writer:
        assert (state(store), store.record("run").finished_at) == ("running", None)
        writer.finish("failed")
    assert state(store) == "failed"
    with store.writer("run", audit.record()) as writer, pytest.raises(StoreError, match="unknown run state"):
        writer.finish("done")


def test_looking_at_a_finished_run_again_keeps_its_times(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0)
        writer.finish("finished")
    before = store.record("run")
    with store.writer("run", audit.record()) as writer:
        assert writer.committed == {0}
        writer.finish("finished")
    assert store.record("run") == before
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 1)
        writer.finish("finished")
    assert store.record("run").finished_at != before.finished_at
    assert store.record("run").created_at == before.created_at


def test_resume_needs_the_same_spec(store: Store) -> None:
    with store.writer("run", audit.record(workers=2)) as writer:
        audit.commit(writer, 0)
    other = audit.record(workers=8, target="label")
    other["dataset"]["fingerprint"] = "f01"
    with pytest.raises(SpecMismatch) as caught, store.writer("run", other, may_differ={"workers"}):
        pass
    said = str(caught.value)
    assert "target was 'predicted' and is now 'label'" in said
    assert "dataset.fingerprint was 'f00' and is now 'f01'" in said
    assert "workers" not in said
    assert store.record("run").spec["workers"] == 2
    assert not is_locked(writer.run.lock)
    with store.writer("run", audit.record(workers=8), may_differ={"workers"}) as writer:
        assert writer.committed == {0}


def test_resume_notes_other_versions(store: Store) -> None:
    with store.writer("run", audit.record()):
        pass
    later = {**audit.record(), "versions": {"numpy": "3"}, "notes": ["hello"]}
    for _ in range(2):
        with store.writer("run", later):
            pass
    assert store.record("run").notes == ["resumed with numpy 3, begun with 2", "hello"]
    assert store.record("run").versions == {"numpy": "3"}


def test_record_that_is_no_record(store: Store) -> None:
    for bad in ({"spce": {}}, {"spec": {"model": object()}}):
        with pytest.raises(StoreError), store.writer("run", bad):
            pass
    with (
        pytest.raises(StoreError, match="unknown type"),
        store.writer("run", {"dataset": {"metadata": [{"name": "a", "column": "a", "type": "complex"}]}}),
    ):
        pass
    assert list(store.layout.runs.iterdir()) == []


def test_writer_outside_a_with_statement(store: Store) -> None:
    with pytest.raises(StoreError, match="not open for writing"):
        store.writer("run", audit.record()).commit_part(0, audit.part_table(0))


# -- damage -----------------------------------------------------------------------------------------------


def test_lost_and_cut_parts_are_named_and_done_again(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0, 1, 2, 3, 4)
    run = writer.run
    run.part(1).unlink()
    run.part(2).write_bytes(run.part(2).read_bytes()[:-100])
    run.part_manifest(3).write_text('{"part": 3, "by')
    run.part_manifest(4).write_text('{"part": 4, "bytes": 3, "contents": {"rows": 1}}')
    with store.reader("run") as reader:
        assert reader.query("SELECT count(*) AS n FROM samples") == [{"n": len(audit.explained_ids(0))}]
        assert "part 1 will be computed again: 00001.parquet is missing" in reader.problems
    with store.writer("run", audit.record()) as writer:
        assert writer.committed == {0}
        assert writer.redo[1] == "00001.parquet is missing"
        assert "bytes instead of" in writer.redo[2]
        assert writer.redo[3] == writer.redo[4] == "its manifest is unreadable"
        audit.commit(writer, 1, 2, 3, 4)
        writer.seal()
    assert sample_ids(store) == audit.explained_ids(0, 1, 2, 3, 4)


def test_a_damaged_part_is_found_when_sealing(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0, 1)
        content = bytearray(writer.run.part(1).read_bytes())
        content[len(content) // 2] ^= 0xFF
        writer.run.part(1).write_bytes(content)
        with pytest.raises(StoreError, match=r"first part 1, were damaged .* run the same command again"):
            writer.seal()
        assert writer.committed == {0}
        audit.commit(writer, 1)
        writer.seal()
    assert sample_ids(store) == audit.explained_ids(0, 1)


def test_a_lost_segment_is_computed_again(store: Store) -> None:
    with store.writer("run", audit.record(), grace_seconds=0) as writer:
        audit.commit(writer, 0)
        writer.seal()
        audit.commit(writer, 1)
        writer.seal()
        with store.reader("run") as reader:
            writer.run.segment(1).unlink()
            assert reader.refresh() and reader.problems == ["segment 0001 is missing or cut"]
    writer.run.part(1).unlink(missing_ok=True)
    with store.writer("run", audit.record()) as writer:
        assert writer.committed == {0}
        audit.commit(writer, 1)
        writer.seal()
    assert sample_ids(store) == audit.explained_ids(0, 1)


def test_leftovers_of_a_killed_writer_are_swept(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0)
    run = writer.run
    left = [run.parts / "00001.parquet.77.tmp", run.segments / "0000.duckdb.77.tmp", run.folder / "run.json.77.tmp",
            run.segments / "0000.duckdb.77.tmp.wal", run.segments / "0000.duckdb"]  # fmt: skip
    for path in left:
        path.write_bytes(b"half")
    (run.segments / "0000.duckdb.77.tmp.spill.tmp").mkdir()
    (run.parts / "00001.parquet").write_bytes(b"renamed, but its manifest was never written")
    with store.writer("run", audit.record()) as writer:
        assert sorted(os.listdir(run.segments)) == []
        assert not any(path.exists() for path in left)
        assert writer.committed == {0}
        audit.commit(writer, 1)
    assert sample_ids(store) == audit.explained_ids(0, 1)


# -- sealing ----------------------------------------------------------------------------------------------


def test_seal_builds_segments_of_limited_size(store: Store) -> None:
    limit = len(audit.explained_ids(0, 1))
    with store.writer("run", audit.record(), segment_samples=limit) as writer:
        audit.commit(writer, 0, 1, 2, 3)
        assert writer.tail_parts == 4
        assert writer.seal() == 2
        assert writer.tail_parts == 0
        assert writer.seal() == 0
    manifests = [json.loads(writer.run.segment_manifest(n).read_text()) for n in (0, 1)]
    assert [m["parts"] for m in manifests] == [[0, 1], [2, 3]]
    assert sample_ids(store) == audit.explained_ids(0, 1, 2, 3)


def test_parts_are_sealed_by_themselves(store: Store) -> None:
    with store.writer("run", audit.record(), seal_every=3) as writer:
        waiting = []
        for index in range(7):
            audit.commit(writer, index)
            waiting.append(writer.tail_parts)
        assert waiting == [1, 2, 0, 1, 2, 0, 1]
    with store.writer("run", audit.record(), seal_every=0) as writer:
        audit.commit(writer, *range(7, 12))
        assert writer.tail_parts == 6
    assert sample_ids(store) == audit.explained_ids(*range(12))


def test_segment_stands_alone_and_is_sorted(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 2, 0, 1)
        writer.seal()
    with duckdb.connect(str(writer.run.segment(0)), read_only=True) as segment:
        tables = {row[0] for row in segment.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        assert tables == {
            "samples", "explanations", "map_image_49", "map_text_16", "map_text_32", "features_16", "features_32",
            "patches_24", "embedding_20", "failures", "rollup_class", "meta",
        }  # fmt: skip
        for table in tables - {"rollup_class", "meta"}:
            ids = [row[0] for row in segment.execute(f"SELECT sample_id FROM {table}").fetchall()]
            assert ids == sorted(ids), table
        ids = audit.explained_ids(0, 1, 2)
        assert segment.execute("FROM meta").fetchall() == [(SCHEMA_VERSION, "run", ids[0], ids[-1], [0, 1, 2])]
        kind = segment.execute("SELECT data_type FROM duckdb_columns() WHERE table_name = 'map_image_49' "
                               "AND column_name = 'vec'").fetchone()  # fmt: skip
        assert kind == ("FLOAT[49]",)


def test_segments_are_in_the_format_of_duckdb_1_5(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0)
        writer.seal()
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{writer.run.segment(0)}' AS s (READ_ONLY)")
        (tags,) = con.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 's'").fetchone() or ({},)
    assert "v1.5" in tags["storage_version"]


def test_retired_parts_go_after_the_grace_period_only(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0)
        writer.seal()
        writer.seal()
        assert writer.run.part(0).exists()
        writer.finish()
    with store.writer("run", audit.record(), grace_seconds=0) as writer:
        assert os.listdir(writer.run.parts) == []
        assert writer.committed == {0}
        audit.commit(writer, 1)
        writer.seal()
        assert writer.run.part(1).exists()
        writer.seal()
        assert os.listdir(writer.run.parts) == []
    assert sample_ids(store) == audit.explained_ids(0, 1)


def test_the_next_run_tidies_a_finished_one_but_not_a_running_one(store: Store) -> None:
    with store.writer("old", audit.record()) as old:
        audit.commit(old, 0)
        old.seal()
        old.finish()
    with store.writer("busy", audit.record()) as busy:
        audit.commit(busy, 0)
        busy.seal()
        with store.writer("new", audit.record(), grace_seconds=0):
            assert not old.run.part(0).exists()
            assert busy.run.part(0).exists()
    assert sample_ids(store, "old") == audit.explained_ids(0)


# -- the lock ---------------------------------------------------------------------------------------------


def test_second_writer_is_refused_by_name(store: Store) -> None:
    with store.writer("run", audit.record()) as first:
        assert is_locked(first.run.lock)
        began = time.monotonic()
        with pytest.raises(RunLocked, match=f"being written by process {os.getpid()}"), store.writer("run", {}):
            pass
        assert time.monotonic() - began < 5
        audit.commit(first, 0)
    assert not is_locked(first.run.lock)


def test_looking_at_the_lock_never_disturbs_a_writer(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        lock = writer.run.lock
    probe = f"import sys; sys.path.insert(0, '.')\nfrom storage.lock import is_locked\nfrom pathlib import Path\n" \
            f"print('on', flush=True)\nwhile True: is_locked(Path({str(lock)!r}))"  # fmt: skip
    probes = [subprocess.Popen([sys.executable, "-c", probe], stdout=subprocess.PIPE, cwd=ROOT) for _ in range(2)]
    try:
        for process in probes:
            assert process.stdout is not None
            process.stdout.readline()
        for _ in range(20):
            with store.writer("run", audit.record()):
                assert is_locked(lock)
    finally:
        for process in probes:
            process.kill()
            process.wait()
            process.stdout.close()  # type: ignore[union-attr]


_FORKS = """
import os, sys, time
from storage import Store
from tests.storage import audit
writer = Store.open(sys.argv[1]).writer("run", audit.record()).__enter__()
child = os.fork()
if child == 0:
    time.sleep(60)
print(child, flush=True)
time.sleep(60)
"""


def test_forked_workers_do_not_keep_a_dead_writers_lock(store: Store) -> None:
    command = [sys.executable, "-c", _FORKS, str(store.root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        with pytest.raises(RunLocked, match=f"process {process.pid}"), store.writer("run", audit.record()):
            pass
        process.kill()
        process.wait()
        os.kill(child, 0)  # the child is still there
        with store.writer("run", audit.record()) as writer:
            audit.commit(writer, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()
    assert isinstance(writer, RunWriter)


def test_progress_is_written_and_read(store: Store) -> None:
    with store.writer("run", audit.record(samples=64)) as writer, store.reader("run") as reader:
        assert reader.progress().parts_total is None
        audit.commit(writer, 0, 1)
        beat = {"parts_total": 4, "samples_per_second": 12.5, "eta_seconds": float("nan"), "note": "x"}
        writer.update_progress(beat)
        seen = reader.progress()
        assert (seen.samples, seen.explained, seen.failed) == (64, len(audit.explained_ids(0, 1)), 3)
        assert (seen.parts_done, seen.parts_total, seen.samples_per_second, seen.eta_seconds) == (2, 4, 12.5, None)
        assert (seen.seconds_read, seen.seconds_compute, seen.seconds_write) == (2.0, 4.0, 1.0)
        assert seen.live and seen.updated_at
        writer.update_progress({**beat, "eta_seconds": 3.0})
        assert reader.progress().eta_seconds == 3.0
    with store.reader("run") as reader:
        assert not reader.progress().live
        assert reader.progress().eta_seconds is None
        writer.run.progress.write_text("{ torn")
        assert reader.progress().explained == len(audit.explained_ids(0, 1))


def test_a_withdrawn_run_was_never_there_but_nothing_that_was_kept_is_lost(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        writer.withdraw()
    assert store.run_ids() == []
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0)
        writer.withdraw()
    assert store.run_ids() == ["run"] and state(store) == "interrupted"
    with store.writer("other", audit.record()):
        pass
    with store.writer("other", audit.record()) as writer:
        writer.withdraw()
    assert sorted(store.run_ids()) == ["other", "run"]
