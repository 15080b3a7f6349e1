"""Manifests: tables with odd columns, types, encodings, broken bytes and names that lead elsewhere."""

from __future__ import annotations

import csv
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from PIL import Image

from jobs.errors import JobError
from jobs.pictures import PictureError
from jobs.readers import Dataset, read_dataset
from jobs.readers.dataset import ROLES
from tests.reliability.fuzz.mutating import STRANGE_TEXTS, damaged, few_edits, strange_values
from tests.reliability.fuzz.scratch import scratch
from tests.reliability.fuzz.target import Target, clear, tried

COLUMNS = ("image", "text", *ROLES, "id", "score", "Image", " image ", "normalized_boxes", "", "a\nb", "x" * 300, "\0")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252")
COMMON = ("a.png", "b.png", "sub/a.png", "./a.png", "missing.png", "cat", "0", "3.5", "007", "[[0, 0, 1, 1]]", "train")
TYPES = (
    *(pa.int8(), pa.uint64(), pa.float16(), pa.bool_(), pa.binary(), pa.date32(), pa.timestamp("ns"), pa.duration("s")),
    *(pa.decimal128(20, 3), pa.time64("us"), pa.list_(pa.float32()), pa.struct([("bytes", pa.binary())]), pa.null()),
    *(pa.large_string(), pa.dictionary(pa.int8(), pa.string()), pa.list_(pa.list_(pa.float32())), pa.string()),
)


@cache
def folder() -> Path:
    """A folder with three pictures."""
    path = scratch("manifest")
    (path / "sub").mkdir()
    for name, colour in (("a.png", 10), ("b.png", 200), ("sub/a.png", 90)):
        Image.fromarray(np.full((4, 4, 3), colour, np.uint8)).save(path / name)
    return path


cells = st.one_of(st.sampled_from(COMMON), st.sampled_from(STRANGE_TEXTS), st.text(max_size=12))
others = st.tuples(st.one_of(st.sampled_from(COLUMNS), st.text(max_size=8)), st.lists(cells, max_size=3))
first = st.one_of(
    st.tuples(st.just("image"), st.lists(st.one_of(st.sampled_from(COMMON[:4]), cells), max_size=5)),
    st.tuples(st.just("text"), st.lists(cells, min_size=1, max_size=5)),
    others,
)
tables = st.builds(
    lambda one, rest: [one, *rest], first, st.lists(others, max_size=3, unique_by=lambda column: column[0])
)


def _csv(columns: list[tuple[str, list[str]]], encoding: str, delimiter: str) -> bytes:
    """A table as CSV; columns of different lengths leave rows that are too short."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow([name for name, _ in columns])
    for row in range(max((len(values) for _, values in columns), default=0)):
        writer.writerow([values[row] for _, values in columns if row < len(values)])
    return text.getvalue().encode(encoding, errors="replace")


def _jsonl(rows: list[Any]) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


def _parquet(columns: list[tuple[str, list[str]]], kinds: list[Any]) -> bytes:
    """A table whose columns are cast to odd types where their values allow, else hold nulls."""
    length = max((len(values) for _, values in columns), default=0)
    arrays = []
    for (_, values), kind in zip(columns, kinds, strict=False):
        column = pa.array([*values, *[None] * (length - len(values))], pa.string())
        try:
            arrays.append(column.cast(kind))
        except (pa.ArrowException, ValueError):
            arrays.append(pa.nulls(length, kind))
    schema = pa.schema([pa.field(name, array.type) for (name, _), array in zip(columns, arrays, strict=False)])
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), sink)
    return sink.getvalue()


def _strategy() -> Any:
    named = st.fixed_dictionaries(
        {"image": st.sampled_from(COMMON[:4])}, optional=dict.fromkeys(COLUMNS[1:], strange_values)
    )
    row = st.one_of(
        named, named, named, st.dictionaries(st.sampled_from(COLUMNS), strange_values, max_size=5), strange_values
    )
    rows = st.lists(row, max_size=5)
    separated = st.tuples(
        st.sampled_from((".csv", ".tsv")),
        st.builds(_csv, tables, st.sampled_from(ENCODINGS), st.sampled_from((",", ";", "\t", "|"))),
    )
    lines = st.tuples(st.sampled_from((".jsonl", ".ndjson")), st.builds(_jsonl, rows))
    parquet = st.tuples(
        st.just(".parquet"), st.builds(_parquet, tables, st.lists(st.sampled_from(TYPES), min_size=6, max_size=6))
    )
    whole = st.one_of(separated, lines, parquet)
    broken = st.builds(lambda file, changes: (file[0], damaged(file[1], changes)), whole, few_edits)
    return st.one_of(whole, broken, st.tuples(st.sampled_from((".csv", ".jsonl", ".parquet")), st.binary(max_size=200)))


def check(case: tuple[str, bytes]) -> str:
    """Reading ends in a JobError about the file, or in columns that fit together."""
    suffix, content = case
    path = folder() / f"rows{suffix}"
    path.write_bytes(content)
    return tried(lambda: _fits(read_dataset(path)), JobError, names=("rows", str(path)))


def _fits(dataset: Dataset) -> None:
    count = len(dataset)
    assert count > 0
    assert dataset.uris.null_count == 0
    columns = {role: getattr(dataset, role) for role in (*ROLES, "pictures")} | dataset.metadata
    for name, column in columns.items():
        assert column is None or len(column) == count, name
    for name in (*ROLES, "pictures"):
        assert columns[name] is None or columns[name].type == pa.string(), name
    kinds = {column.type for column in dataset.metadata.values()}
    assert kinds <= {pa.bool_(), pa.int64(), pa.float64(), pa.string()}, kinds
    assert all(0 <= row < count for row in dataset.problems)
    for row in range(count):
        picture = dataset.picture(row)
        try:
            assert picture is None or dataset.at(picture)
        except PictureError as error:  # it lies outside the folder
            clear(str(error))


TARGET = Target(
    "manifest",
    "CSV, TSV, JSONL and Parquet manifests (jobs/readers)",
    _strategy,
    check,
    share=12.0,
    quick=150,
    pinned=(
        (".tsv", b"image\n" + b"x" * 4000 + b"\nmissing.png\n"),
        (".csv", b"image\nhttp://[::1\nmissing.png\n"),
        (".tsv", b"image\nftp://127.0.0.1:9/y\na.png\n"),
    ),
)
