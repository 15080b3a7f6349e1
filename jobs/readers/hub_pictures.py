"""Which rows of a Hugging Face table hold a picture, told without reading the pictures."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def arrow_pictures(column: pa.ChunkedArray, name: str) -> tuple[pa.Array, pa.Array]:
    """Per row the picture's name, and what it was called: string arrays of the column's length.

    The name is `name#row` where the row holds bytes, the path where it holds only that, null where it holds neither.
    """
    chunks = [chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk for chunk in column.chunks]
    held = [_child(chunk, "bytes").is_valid() for chunk in chunks]
    paths = [_child(chunk, "path").cast(pa.string()) for chunk in chunks]
    return _named(pa.concat_arrays([*held, pa.array([], pa.bool_())]), _joined(paths), name)


def parquet_pictures(file: pq.ParquetFile, column: str, name: str) -> tuple[pa.Array, pa.Array]:
    """The same for a column of a Parquet file. Bytes are read only of row groups that hold rows without them."""
    held, paths = [], []
    for group in range(file.metadata.num_row_groups):
        found = file.metadata.row_group(group)
        if _nulls(file, group, f"{column}.bytes") == 0:
            held.append(pa.array([True] * found.num_rows))
        else:
            held.append(_group_child(file, group, column, "bytes").is_valid())
        has_paths = (
            pa.types.is_struct(kind := file.schema_arrow.field(column).type) and kind.get_field_index("path") >= 0
        )
        paths.append(
            _group_child(file, group, column, "path").cast(pa.string())
            if has_paths
            else pa.nulls(found.num_rows, pa.string())
        )
    return _named(pa.concat_arrays([*held, pa.array([], pa.bool_())]), _joined(paths), name)


def _group_child(file: pq.ParquetFile, group: int, column: str, child: str) -> pa.Array:
    """One field of a struct column, without the others."""
    table = file.read_row_group(group, columns=[f"{column}.{child}"], use_threads=False)
    found = table.column(0).combine_chunks()
    return _child(found, child) if pa.types.is_struct(found.type) else found


def _nulls(file: pq.ParquetFile, group: int, path: str) -> int | None:
    """How many values of a row group are null by the statistics of the file, None where it has none.

    The first page is read before: it raises where the column's description is damaged, and `column()`, which does not
    expect that, would end the process.
    """
    index = next((i for i in range(len(file.schema)) if file.schema.column(i).path == path), None)
    if index is None:
        return None
    next(file.iter_batches(1, row_groups=[group], columns=[path], use_threads=False), None)
    statistics = file.metadata.row_group(group).column(index).statistics
    return statistics.null_count if statistics is not None and statistics.has_null_count else None


def _child(struct: pa.StructArray, name: str) -> pa.Array:
    """A field of a struct, null where the struct is; nulls when there is no such field."""
    at = struct.type.get_field_index(name)
    return pa.nulls(len(struct), pa.string()) if at < 0 else struct.flatten()[at]


def _joined(paths: list[pa.Array]) -> pa.Array:
    return pa.concat_arrays([*paths, pa.array([], pa.string())])


def _named(held: pa.Array, paths: pa.Array, name: str) -> tuple[pa.Array, pa.Array]:
    rows = pa.array([f"{name}#{row}" for row in range(len(held))], pa.string())
    return pc.if_else(held, rows, paths), paths
