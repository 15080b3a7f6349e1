"""Stores with one damaged file: whatever is asked then ends in a StoreError, or in rows that fit their columns."""

from __future__ import annotations

import json
import os
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from storage import (
    Filter,
    RunReader,
    SampleQuery,
    Store,
    StoreError,
    list_runs,
    queries,
    read_faithfulness,
    write_faithfulness,
    write_suspects,
)
from storage.record import STATES
from tests.reliability.fuzz.mutating import damaged, few_edits, json_edits, rewritten
from tests.reliability.fuzz.scratch import scratch
from tests.reliability.fuzz.target import Target, tried
from tests.storage import audit
from tests.storage.test_suspects import ROW as SUSPECT

RUN = "runs/demo/"


@cache
def original() -> Path:
    """A store with a run that is half sealed, evaluated and searched for suspects."""
    root = scratch("store_whole") / "audits"
    store = audit.new_store(root)
    with store.writer("demo", audit.record(64)) as writer:
        audit.commit(writer, 0, 1)
        writer.seal()
        audit.commit(writer, 2, 3)
        run = store.layout_of("demo")
        row = {"method": "gae", "modality": "image", "test": "deletion", "curve": {"steps": [0, 1], "values": [1, 0]},
               "auc": 0.5, "n": 9}  # fmt: skip
        write_faithfulness(run, [row], {"seed": 0})
        write_suspects(run, [SUSPECT], {"samples": 64})
    beat = {"samples": 64, "parts_total": 4, "samples_per_second": 2.5, "eta_seconds": 3.0, "updated_at": "2026-01-01"}
    (root / RUN / "progress.json").write_text(json.dumps(beat))
    return root


@cache
def names() -> list[str]:
    """Every file that a reader reads."""
    found = [str(path.relative_to(original())) for path in original().rglob("*") if path.is_file()]
    return sorted(name for name in found if not name.endswith("lock"))


@cache
def copied() -> Path:
    """The copy that is damaged and mended again."""
    root = scratch("store") / "audits"
    shutil.copytree(original(), root)
    return root


def _strategy() -> Any:
    binary = [name for name in names() if not name.endswith(".json")]
    documents = [name for name in names() if name.endswith(".json")]
    broken = st.tuples(st.just("bytes"), st.sampled_from(binary + documents), few_edits)
    same = st.tuples(st.just("same"), st.sampled_from(binary), few_edits)
    changed = st.tuples(st.just("json"), st.sampled_from(documents), json_edits)
    gone = st.tuples(st.just("gone"), st.sampled_from(names()), st.just([]))
    return st.one_of(broken, same, same, changed, changed, gone)


def check(case: tuple[str, str, Any]) -> str:
    """Damage one file, ask everything, and put the file back."""
    kind, name, changes = case
    path, whole = copied() / name, (original() / name).read_bytes()
    path.unlink()
    if kind == "json":
        path.write_text(json.dumps(rewritten(json.loads(whole), changes)))
    elif kind != "gone":
        content = damaged(whole, changes)
        # of the same length, so that a reader which compares lengths goes on
        path.write_bytes(content if kind == "bytes" else content[: len(whole)].ljust(len(whole), b"\0"))
    try:
        return tried(lambda: _asked(copied()), StoreError)
    finally:
        if path.exists():
            path.unlink()
        path.write_bytes(whole)
        os.utime(path, ns=(0, (original() / name).stat().st_mtime_ns))


def _asked(root: Path) -> None:
    store = Store.open(root)
    rows = list_runs(store)
    assert all(row["state"] in (*STATES, "unreadable") for row in rows), rows
    run = store.layout_of("demo")  # refused when the record is gone
    assert isinstance(read_faithfulness(run), list)
    with store.reader("demo") as reader:
        _questions(reader)


def _questions(reader: RunReader) -> None:
    """What the dashboard asks of a run."""
    assert isinstance(reader.suspects().rows, list)
    progress = reader.progress()
    assert progress.explained >= 0 and isinstance(reader.problems, list)
    for view in ("samples", "explanations", "failures"):
        reader.query(f"SELECT * FROM {view}")
    known = queries.columns(reader)
    assert "confidence" in known
    query = SampleQuery(target="predicted", modality="image")
    total = queries.count(reader, query)
    page = queries.page(reader, query, size=20)
    assert len(page) <= min(total, 20), (len(page), total)
    queries.count(
        reader,
        SampleQuery(target="predicted", modality="image", filters=(Filter("confidence", "between", (0.5, None)),)),
    )
    queries.class_summary(reader, query)
    queries.confusion(reader, query)
    queries.histogram(reader, query, "confidence")
    queries.failures(reader)
    for row in page[:2]:
        queries.sample(reader, row["sample_id"])
    maps = reader.maps([(row["sample_id"], "predicted") for row in page], "image")
    assert all(one.dtype == np.float32 and one.ndim == 1 for one in maps.values())


TARGET = Target(
    "store",
    "stores with a damaged part, segment, manifest, record, list of suspects or evaluation (storage)",
    _strategy,
    check,
    share=1.2,
    quick=8,
)
