"""Samples as files: tables as CSV or Parquet, and the pictures as a zip. Streamlit-free.

Every function writes to a temporary file without a name and hands it over open for reading, so that nothing of a large
export is kept but the file.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from dashboard.data import Row, Run
from dashboard.overlays import is_picture
from dashboard.tiles import MissingPicture, source
from storage import Reviews, SampleQuery, queries
from storage.media import MediaError

MOST_CSV, MOST_PARQUET, MOST_PICTURES = 200_000, 1_000_000, 500
MOST_BYTES = 500 * 2**20
TAGS = "review_tags"
NAME_LENGTH = 80
# A spreadsheet runs a cell that begins like this as a formula, also one that came out of somebody's caption.
FORMULA = r"^[=+\-@\t\r]"
MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class Choice:
    """What is exported: samples in the order of a query, and the reviews that know their tags."""

    run: Run
    query: SampleQuery
    reviews: Reviews


def as_csv(choice: Choice, limit: int = MOST_CSV) -> io.BufferedReader:
    """UTF-8 with a header. Lists are JSON; a text that a spreadsheet would run as a formula gets an apostrophe before
    it, so that it is shown and not run. Empty values are empty, an empty text is two quotes."""

    def write(file: IO[bytes]) -> None:
        with queries.batches(choice.run.reader, choice.query, limit) as found:
            schema = pa.schema(
                [(f.name, pa.string() if _as_text(f.type) else f.type) for f in _with_tags(found.schema)]
            )
            with pyarrow.csv.CSVWriter(file, schema) as out:
                for batch in found:
                    out.write_batch(_for_spreadsheets(_tagged(choice, batch), schema))

    return _written(write)


def as_parquet(choice: Choice, limit: int = MOST_PARQUET) -> io.BufferedReader:
    """Every value exactly as the store has it, and the tags as a list."""

    def write(file: IO[bytes]) -> None:
        with (
            queries.batches(choice.run.reader, choice.query, limit) as found,
            pq.ParquetWriter(file, _with_tags(found.schema), compression="zstd") as out,
        ):
            for batch in found:
                out.write_batch(_tagged(choice, batch))

    return _written(write)


def as_zip(choice: Choice, limit: int = MOST_PICTURES, most_bytes: int = MOST_BYTES) -> io.BufferedReader:
    """The picture files as they are, with their EXIF data and all, and a manifest.csv with a line per sample that also
    says what is missing."""

    def write(file: IO[bytes]) -> None:
        lines, room = [], most_bytes
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as out:
            for row in queries.page(choice.run.reader, choice.query, 1, limit):
                name, status, size = _put(out, choice.run, row, room)
                room -= size
                lines.append({**_told(row), "file": name, "status": status})
            out.writestr(MANIFEST, _manifest(lines))

    return _written(write)


def safe_name(sample_id: int, uri: str) -> str:
    """A file name that is unique by the sample and safe on every system: letters, digits, `.`, `_` and `-`."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(uri).name).strip("._") or "picture"
    stem, ending = os.path.splitext(plain)
    return f"{sample_id:09d}_{stem[: NAME_LENGTH - len(ending[:8])]}{ending[:8]}"


def _put(out: zipfile.ZipFile, run: Run, row: Row, room: int) -> tuple[str, str, int]:
    """Add a picture: (its name in the archive, what became of it, bytes)."""
    try:
        name = safe_name(int(row["sample_id"]), str(row["uri"]))
        with source(run, str(row["uri"])).open() as picture:
            size = picture.seek(0, os.SEEK_END)
            if size > room:
                return "", "left out: the archive is full", 0
            if not is_picture(picture):  # a store may have been written by somebody else: it hands out pictures only
                return "", "not a picture", 0
            picture.seek(0)
            out.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), picture.read(size))
    except IsADirectoryError:
        return "", "not a file", 0
    except (MissingPicture, MediaError) as problem:
        return "", str(problem), 0
    except (OSError, ValueError):
        return "", "file not found or not readable", 0
    return name, "included", size


def _told(row: Row) -> dict[str, Any]:
    return {name: row.get(name) for name in ("sample_id", "uri", "label", "predicted", "score")}


def _manifest(lines: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["sample_id", "file", "status", "uri", "label", "predicted", "score"])
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in line.items()} for line in lines)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """A value for a spreadsheet."""
    return f"'{value}" if isinstance(value, str) and re.match(FORMULA, value) else value


def _with_tags(schema: pa.Schema) -> pa.Schema:
    return schema.append(pa.field(TAGS, pa.list_(pa.string())))


def _tagged(choice: Choice, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with the tags of its samples as the last column."""
    ids = batch.column("sample_id").to_numpy()
    found = choice.reviews.tags_of(choice.run.id, ids)
    tags = pa.array([list(found.get(int(number), ())) for number in ids], pa.list_(pa.string()))
    return pa.RecordBatch.from_arrays([*batch.columns, tags], schema=_with_tags(batch.schema))


def _as_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_list(kind))


def _for_spreadsheets(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Lists as JSON, and no text that would be run."""
    columns = [_harmless(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _harmless(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_list(column.type):
        column = pa.array([None if v is None else json.dumps(v, ensure_ascii=False) for v in column.to_pylist()], kind)
    if not pa.types.is_string(kind):
        return column
    text = column.cast(pa.string())
    return pc.if_else(pc.match_substring_regex(text, FORMULA), pc.binary_join_element_wise("'", text, ""), text)


def _written(write: Callable[[IO[bytes]], None]) -> io.BufferedReader:
    """What was written to a temporary file, open for reading; the file goes when it is closed."""
    handle, name = tempfile.mkstemp(prefix="relevancy-audit-")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        return open(name, "rb")
    finally:
        os.unlink(name)
