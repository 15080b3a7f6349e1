"""Rows of annotations as a manifest that `run --data` reads."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from jobs.errors import JobError, unknown
from jobs.readers.tables import as_column

Row = dict[str, Any]
FIRST = ("image", "label", "text", "mask", "boxes")
FORMATS = (".parquet", ".csv", ".tsv", ".jsonl")


@dataclass
class Rows:
    """What a reader found: one dict per sample, and how many entries it left out, by reason.

    `image` and `mask` are paths; `boxes` are [[x0, y0, x1, y1], ...] in pixels; lists become JSON text.
    """

    rows: list[Row] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def check_format(out: Path) -> None:
    """`JobError` for a manifest that could not be read back."""
    if out.suffix.lower() not in FORMATS:
        raise unknown("format of a manifest", out.suffix or out.name, FORMATS)


def write_table(rows: Sequence[Row], out: Path) -> list[str]:
    """Write the manifest, whole or not at all; returns its columns. Paths below its folder become relative to it."""
    if not rows:
        raise JobError(f"no sample was found, so {out} was not written")
    home = Path(os.path.abspath(out.parent))
    table = _table(rows, home)
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        _write(table, unfinished, out.suffix.lower())
        os.replace(unfinished, out)
    finally:
        unfinished.unlink(missing_ok=True)
    return list(table.column_names)


def _table(rows: Sequence[Row], home: Path) -> pa.Table:
    names = dict.fromkeys(name for row in rows for name in row)
    ordered = [name for name in FIRST if name in names] + [name for name in names if name not in FIRST]
    columns = {name: as_column([_plain(row.get(name), home) for row in rows]) for name in ordered}
    return pa.table({name: column for name, column in columns.items() if column.null_count < len(column)})


def _plain(value: Any, home: Path) -> Any:
    if isinstance(value, Path):
        path = Path(os.path.abspath(value))
        return str(path.relative_to(home)) if path.is_relative_to(home) else str(path)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _write(table: pa.Table, path: Path, kind: str) -> None:
    if kind == ".parquet":
        pq.write_table(table, path, compression="zstd")
    elif kind == ".jsonl":
        with open(path, "w", encoding="utf-8") as file:
            for row in table.to_pylist():
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    else:
        options = pa_csv.WriteOptions(delimiter="\t" if kind == ".tsv" else ",")
        pa_csv.write_csv(table, path, options)
