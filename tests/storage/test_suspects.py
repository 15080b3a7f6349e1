"""The list of suspects: written as a whole, read back as it was, by us and by plain DuckDB."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest

from storage import RunLocked, RunReader, Store, StoreError, read_suspects, suspects_lock, write_suspects
from storage.document import DOCUMENT
from tests.storage import audit

ROW: dict[str, Any] = {
    "id": "concept-0a1b2c3d",
    "rank": 1,
    "kind": "concept",
    "name": "patches at the lower left",
    "class_name": "boat",
    "class_index": 3,
    "n": 40,
    "share": 0.8,
    "score": 0.25,
    "status": "verified",
    "flagged": True,
    "evidence": {"effects": {"removal": {"flips": 0.7, "control_flips": 0.0}}, "purity": 0.98},
    "cue": {"prototypes": [[0.1, 0.2]], "cut": 0.5},
    "sample_ids": [5, 2, 9],
}


def test_round_trip(reader: RunReader) -> None:
    assert reader.suspects().rows == []
    write_suspects(reader.run, [ROW, {**ROW, "rank": 2, "name": None}], {"samples": 50, "chance": {"expected": 0.2}})
    found = reader.suspects()
    assert found.rows == [ROW, {**ROW, "rank": 2, "name": None}]
    assert found.about == {"samples": 50, "chance": {"expected": 0.2}}
    write_suspects(reader.run, [], {"samples": 51})
    assert (reader.suspects().rows, reader.suspects().about) == ([], {"samples": 51})


def test_a_bad_row_is_refused_and_the_old_list_stays(reader: RunReader) -> None:
    write_suspects(reader.run, [ROW], {})
    with pytest.raises(StoreError, match="do not fit their columns"):
        write_suspects(reader.run, [{**ROW, "rank": "first"}], {})
    assert read_suspects(reader.run).rows == [ROW]


def test_a_list_that_is_replaced_while_it_is_read_is_the_old_or_the_new_one(reader: RunReader) -> None:
    short, long = [ROW], [{**ROW, "id": f"concept-{k}", "name": "x" * k} for k in range(60)]
    write_suspects(reader.run, short, {})
    stop = threading.Event()

    def replace() -> None:
        while not stop.is_set():
            write_suspects(reader.run, long, {})
            write_suspects(reader.run, short, {})

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        assert {len(reader.suspects().rows) for _ in range(300)} <= {1, 60}
    finally:
        stop.set()
        writer.join()


def test_a_damaged_file_says_what_makes_it_anew(reader: RunReader) -> None:
    reader.run.suspects.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(StoreError, match=rf"python -m jobs suspects {reader.run.run_id}"):
        read_suspects(reader.run)


def test_a_second_search_is_refused_by_name(reader: RunReader) -> None:
    said = r"list of suspects .* is being written by process"
    with suspects_lock(reader.run), pytest.raises(RunLocked, match=said), suspects_lock(reader.run):
        pass
    with suspects_lock(reader.run):  # free again
        pass


def test_the_example_of_the_document_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store.open("audits", create=True)
    with store.writer("demo", audit.record()) as writer:
        audit.commit(writer, 0)
    write_suspects(store.layout_of("demo"), [ROW], {})
    (example,) = re.findall(r"```sql suspects\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert duckdb.sql(example).fetchall() == [(1, ROW["name"], 40, "0.7", "0.0")]
