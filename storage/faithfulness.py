"""How faithful a run's explanations are: one small file of evaluation results, replaced as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.atomic import plain_json, write_bytes
from storage.columns import FAITHFULNESS_COLUMNS
from storage.errors import StoreError
from storage.layout import RunLayout

ABOUT = b"about"
CURVE = ("steps", "values")


def faithfulness_schema() -> pa.Schema:
    """The Arrow schema of the table."""
    return pa.schema([pa.field(c.name, c.type, nullable=not c.required) for c in FAITHFULNESS_COLUMNS])


def write_faithfulness(run: RunLayout, rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> None:
    """Replace the evaluation results of a run.

    `rows` are dicts {method, modality, test, curve: {steps, values}, auc, n}; steps and values are equally long, empty
    for a test without a curve. `about` says how they were made. StoreError when a row does not fit or the disk refuses;
    the earlier results then stay.
    """
    flat = []
    for row in rows:
        steps, values = (list(row["curve"][name]) for name in CURVE)
        if len(steps) != len(values):
            what = f"{row['method']!r} in test {row['test']!r}"
            raise StoreError(f"the curve of {what} has {len(steps)} steps and {len(values)} values")
        flat.append({**{key: value for key, value in row.items() if key != "curve"}, "steps": steps, "values": values})
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


def read_faithfulness(run: RunLayout) -> list[dict[str, Any]]:
    """The evaluation results of a run, as `write_faithfulness` takes them; empty when it was never evaluated."""
    return _read(run)[0]


def about_faithfulness(run: RunLayout) -> dict[str, Any]:
    """How the evaluation results were made; empty when the run was never evaluated."""
    return _read(run)[1]


def _read(run: RunLayout) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    if not run.faithfulness.exists():
        return [], {}
    try:
        # at once: by its name the file would be opened twice, and it may be replaced in between
        table = pq.read_table(pa.BufferReader(run.faithfulness.read_bytes()))
        about = json.loads((table.schema.metadata or {}).get(ABOUT, b"{}"))
        rows = table.select([c.name for c in FAITHFULNESS_COLUMNS]).to_pylist()
    except (OSError, pa.ArrowInvalid, ValueError, KeyError) as error:
        raise StoreError(
            f"{run.faithfulness} cannot be read ({error}); evaluating the run again makes it anew"
        ) from error
    for row in rows:
        row["curve"] = {name: row.pop(name) for name in CURVE}
    return rows, about
