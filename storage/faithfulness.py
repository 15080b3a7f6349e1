"""How faithful a run's explanations are: one small file of evaluation results, replaced as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.atomic import plain_json, sweep_temporary, write_bytes
from storage.columns import FAITHFULNESS_COLUMNS
from storage.errors import StoreError
from storage.layout import RunLayout
from storage.lock import FileLock
from storage.wellformed import UNREADABLE, object_of, require_columns

ABOUT = b"about"
CURVE = ("steps", "values")
BAND = ("low", "high")
JSON_COLUMNS = ("skipped", "details")
OPTIONAL = ("auc_low", "auc_high", "protocol", *JSON_COLUMNS)
IDENTITY = ("method", "modality", "test", "protocol")
PATIENCE_SECONDS = 10.0  # another evaluation holds the lock for milliseconds

Row = dict[str, Any]
CASCADE, SIMILARITY = "sanity cascade", "similarity "
"""Tests of which neither low nor high numbers are better."""
LOWER, HIGHER = "lower", "higher"


def better(test: str) -> str | None:
    """Whether low or high numbers of a test speak for a method; None where neither does.

    The tests of removal: most relevant first should hurt fast, least relevant first slowly; putting in is the reverse.
    """
    if test == CASCADE or test.startswith(SIMILARITY) or "by chance" in test:
        return None
    words = test.split()
    if "gap" in words:
        return HIGHER
    least_first = "negative" in words
    puts_in = words[0] == "insertion"
    removes = words[0] in ("perturbation", "deletion", "positive", "negative")
    return LOWER if (removes and not least_first) or (puts_in and least_first) else HIGHER


def faithfulness_schema() -> pa.Schema:
    """The Arrow schema of the table."""
    return pa.schema([pa.field(c.name, c.type, nullable=not c.required) for c in FAITHFULNESS_COLUMNS])


def write_faithfulness(run: RunLayout, rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> None:
    """Replace the evaluation results of a run.

    `rows` are dicts {method, modality, test, curve: {steps, values}, auc, n}; steps and values are equally long, empty
    for a test without a curve. Optional: `low` and `high` in the curve (or in the row), as long as the values;
    `auc_low`, `auc_high`; `skipped`, {reason: count}; `protocol`; `details`, a dict. `about` says how they were made.
    StoreError when a row does not fit or the disk refuses; the earlier results then stay.
    """
    flat = [_flat(row) for row in rows]
    schema = faithfulness_schema().with_metadata({ABOUT: json.dumps(plain_json(dict(about))).encode()})
    sink = pa.BufferOutputStream()
    try:
        pq.write_table(pa.Table.from_pylist(flat, schema), sink, compression="zstd")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise StoreError(f"the evaluation of run {run.run_id!r} does not fit its columns: {error}") from error
    try:
        write_bytes(run.faithfulness, memoryview(sink.getvalue()))
    except OSError as error:
        raise StoreError(
            f"{run.faithfulness} cannot be written ({error.strerror or error}); the results before it are unchanged. "
            "Free some space or make it writable, and evaluate again"
        ) from error


def merge_faithfulness(run: RunLayout, rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> None:
    """Put evaluation results beside those that are there: evaluations of different protocols come one after another.

    Rows with the same (method, modality, test, protocol) are replaced, others stay; of `about` the given names are
    replaced. Results that are damaged are made anew. Two evaluations at once do not lose each other's rows.
    StoreError as `write_faithfulness`.
    """
    lock = FileLock(run.faithfulness_lock, f"the evaluation of run {run.run_id!r}")
    try:
        lock.acquire(PATIENCE_SECONDS)
    except OSError as error:
        raise StoreError(f"{run.folder} cannot be written ({error.strerror}); nothing was changed") from error
    try:
        sweep_temporary(run.folder, run.faithfulness.name)
        before, known = _read(run, damaged_is_empty=True)
        new = {_identity(row) for row in rows}
        kept = [row for row in before if _identity(row) not in new]
        write_faithfulness(run, [*kept, *rows], {**known, **about})
    finally:
        lock.release()


def read_faithfulness(run: RunLayout) -> list[Row]:
    """The evaluation results of a run, as `write_faithfulness` takes them; empty when it was never evaluated.

    What is optional and was not given is absent; `low` and `high` are in the curve.
    """
    return _read(run)[0]


def about_faithfulness(run: RunLayout) -> Row:
    """How the evaluation results were made; empty when the run was never evaluated."""
    return _read(run)[1]


def _identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) or "" for name in IDENTITY)


def _flat(row: Mapping[str, Any]) -> Row:
    """A row as the columns hold it."""
    curve = row["curve"]
    flat = {key: value for key, value in row.items() if key != "curve"}
    flat |= {name: list(curve[name]) for name in CURVE}
    for name in BAND:
        band = curve.get(name, row.get(name))
        flat[name] = None if band is None else list(band)
    _check_lengths(flat)
    for name in JSON_COLUMNS:
        flat[name] = json.dumps(plain_json(row[name])) if row.get(name) is not None else None
    return flat


def _check_lengths(flat: Row) -> None:
    what = f"the curve of {flat['method']!r} in test {flat['test']!r}"
    steps, values = len(flat["steps"]), len(flat["values"])
    if steps != values:
        raise StoreError(f"{what} has {steps} steps and {values} values")
    for name in BAND:
        if flat[name] is not None and len(flat[name]) != values:
            raise StoreError(f"{what} has {values} values and {len(flat[name])} of their interval's {name} ends")


def _read(run: RunLayout, damaged_is_empty: bool = False) -> tuple[list[Row], Row]:
    try:
        # at once: by its name the file would be opened twice, and it may be replaced in between
        content = run.faithfulness.read_bytes()
    except FileNotFoundError:
        return [], {}
    except OSError as error:
        raise StoreError(f"{run.faithfulness} cannot be read ({error.strerror or error}); it is unchanged") from error
    try:
        return _parsed(content)
    except UNREADABLE as error:
        if damaged_is_empty:
            return [], {}
        raise StoreError(
            f"{run.faithfulness} cannot be read ({error}); evaluating the run again makes it anew"
        ) from error


def _parsed(content: bytes) -> tuple[list[Row], Row]:
    table = pq.read_table(pa.BufferReader(content))
    require_columns(table, faithfulness_schema())
    about = object_of((table.schema.metadata or {}).get(ABOUT, b"{}"))
    names = [c.name for c in FAITHFULNESS_COLUMNS if c.required or c.name in table.column_names]
    return [_nested(row) for row in table.select(names).to_pylist()], about


def _nested(flat: Row) -> Row:
    """A row as people ask for it; files of earlier versions lack the optional columns."""
    curve = {name: flat.pop(name) for name in CURVE}
    band = {name: flat.pop(name, None) for name in BAND}
    row = {name: value for name, value in flat.items() if value is not None or name not in OPTIONAL}
    for name in JSON_COLUMNS:
        if name in row:
            row[name] = object_of(row[name])
    return {**row, "curve": curve | {name: ends for name, ends in band.items() if ends is not None}}
