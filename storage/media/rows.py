"""Pictures inside tables, as Hugging Face stores them: a column of struct{bytes, path} in Arrow or Parquet files."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage.media.errors import MediaError
from storage.media.files import Stamp, is_url, open_file, size_and_stamp

TABLES_KEPT = 16  # memory maps of Arrow files: they cost addresses, not memory
GROUPS_KEPT = 2  # row groups of Parquet files, which are decoded: samples come in order


def picture_column(schema: pa.Schema) -> str | None:
    """The column that holds pictures: `image` when it does, else the first; None when there is none."""
    names = [field.name for field in schema if is_pictures(field.type)]
    return "image" if "image" in names else names[0] if names else None


def is_pictures(kind: pa.DataType) -> bool:
    """Whether a column of this type holds encoded pictures: struct{bytes, path}, or a struct with `bytes` alone."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if not pa.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    content = kind.field("bytes").type
    return bool(pa.types.is_binary(content) or pa.types.is_large_binary(content))


def read_bytes(table: str, row: int) -> bytes:
    """The encoded picture in `row` (from 0) of the file `table`. FileNotFoundError without one, or OSError."""
    try:
        found = (_from_arrow if table.endswith(".arrow") else _from_parquet)(table, row)
    except pa.ArrowException as error:
        raise OSError(f"table unreadable ({' '.join(str(error).split())[:80]})") from error
    if found is None:
        raise FileNotFoundError(f"row {row} of {table} holds no picture")
    return found


def open_arrow(path: str) -> pa.Table:
    """The rows of an Arrow file (a stream, as `save_to_disk` writes it, or a file), in a memory map; nothing is copied.

    Offsets are checked, since Arrow believes the file: a damaged one would be read beyond its end. Of the pictures
    that takes their offsets alone. Raises OSError or pa.ArrowException.
    """
    mapped = pa.memory_map(path)
    try:
        table = pa.ipc.open_stream(mapped).read_all()
    except pa.ArrowInvalid:
        mapped.seek(0)
        table = pa.ipc.open_file(mapped).read_all()
    table.validate(full=True)
    return table


def _from_arrow(table: str, row: int) -> bytes | None:
    if is_url(table):
        raise MediaError(f"{table}: Arrow files are read on this machine only; copy the dataset here")
    column = _arrow_column(table, size_and_stamp(table)[1])
    return _bytes(column[row]) if row < len(column) else None


@lru_cache(maxsize=TABLES_KEPT)
def _arrow_column(table: str, stamp: Stamp) -> pa.ChunkedArray:
    found = open_arrow(table)
    return found.column(_required(found.schema, table))


def _from_parquet(table: str, row: int) -> bytes | None:
    stamp = () if is_url(table) else size_and_stamp(table)[1]
    starts, name = _parquet_rows(table, stamp)
    if row >= starts[-1]:
        return None
    group = int(np.searchsorted(starts, row, side="right")) - 1
    return _bytes(_parquet_group(table, stamp, group, name)[row - starts[group]])


@lru_cache(maxsize=64)
def _parquet_rows(table: str, stamp: Stamp) -> tuple[tuple[int, ...], str]:
    """The first row of every row group and the number of all rows; the column of the pictures."""
    with open_file(table) as file:
        found = pq.ParquetFile(file)
        counts = [found.metadata.row_group(i).num_rows for i in range(found.metadata.num_row_groups)]
        return tuple(np.cumsum([0, *counts]).tolist()), _required(found.schema_arrow, table)


@lru_cache(maxsize=GROUPS_KEPT)
def _parquet_group(table: str, stamp: Stamp, group: int, name: str) -> pa.ChunkedArray:
    with open_file(table) as file:  # without threads: a forked worker has none of Arrow's
        return pq.ParquetFile(file).read_row_group(group, columns=[name], use_threads=False).column(name)


def _required(schema: pa.Schema, table: str) -> str:
    name = picture_column(schema)
    if name is None:
        raise OSError(f"{table} has no column of pictures")
    return name


def _bytes(value: Any) -> bytes | None:
    found = value.as_py()
    return None if found is None else found["bytes"]
