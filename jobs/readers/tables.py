"""Tables from files, and their columns in the few types a store keeps: bool, int64, double, string."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from jobs.errors import JobError

WHOLE = r"^-?(0|[1-9][0-9]{0,17})$"  # no leading zeros: a postcode is a name, not a number
DECIMAL = r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$|^[nN]a[nN]$"
EXACT = 2.0**53  # below it every whole number is a double
BOOLEANS = ("true", "false")


def read_csv(path: Path) -> pa.Table:
    """A CSV (or TSV, or semicolon-separated) file with a header, every column as string, empty cells null."""
    delimiter, names = _header(path)
    table = pa_csv.read_csv(
        path,
        read_options=pa_csv.ReadOptions(use_threads=False),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )
    return pa.table([_guessed(column.combine_chunks()) for column in table.columns], names=table.column_names)


def _header(path: Path) -> tuple[str, list[str]]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        line = file.readline()
    if not line.strip():
        raise JobError(f"{path.name} is empty: expected a header with a column 'image' (or 'text')")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ";" if ";" in line and "," not in line else ","
    return delimiter, next(csv.reader([line], delimiter=delimiter))


def _guessed(column: pa.Array) -> pa.Array:
    """The string `column` as bool, int64 or double when every value of it reads as one."""
    values = column.drop_null()
    if len(values) == 0:
        return column
    if pc.all(pc.is_in(pc.utf8_lower(values), pa.array(BOOLEANS))).as_py():
        return pc.equal(pc.utf8_lower(column), "true")
    if pc.all(pc.match_substring_regex(values, WHOLE)).as_py():
        return column.cast(pa.int64())
    # a leading zero before another digit is an identifier, so the column stays text
    if (
        pc.all(pc.match_substring_regex(values, DECIMAL)).as_py()
        and not pc.any(pc.match_substring_regex(values, r"^[-+]?0[0-9]")).as_py()
    ):
        return column.cast(pa.float64())
    return column


def read_jsonl(path: Path) -> pa.Table:
    """One JSON object per line; a key that a line lacks is null there. Raises `JobError` naming the line."""
    columns: dict[str, list[Any]] = {}
    rows = 0
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            for name, value in _object(line, number, path).items():
                column = columns.setdefault(name, [])
                column.extend([None] * (rows - len(column)))
                column.append(value)
            rows += 1
    if rows == 0:
        raise JobError(f"{path.name} is empty: expected one JSON object per line with a key 'image'")
    for column in columns.values():
        column.extend([None] * (rows - len(column)))
    return pa.table({name: as_column(values) for name, values in columns.items()})


def _object(line: str, number: int, path: Path) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise JobError(f"{path.name}, line {number} is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise JobError(f'{path.name}, line {number} is not a JSON object like {{"image": "a.jpg"}}')
    return row


def as_column(values: list[Any]) -> pa.Array:
    """Python values as the narrowest column that holds them all; mixed and nested ones as (JSON) text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    try:
        if kinds == {int}:
            return pa.array(values, pa.int64())
        if kinds <= {int, float} and kinds:
            return pa.array([None if value is None else float(value) for value in values], pa.float64())
    except OverflowError:
        pass
    return pa.array(_texts(values), pa.string())


def _texts(values: Iterable[Any]) -> list[str | None]:
    return [value if value is None or isinstance(value, str) else json.dumps(value, default=str) for value in values]


def read_parquet(path: Path) -> pa.Table:
    """A Parquet file as it is; `as_strings` and `as_typed` narrow its types.

    A list column `features` is not read, nor are the `boxes` beside it: they may be larger than memory. In their
    place stands where a worker finds them, `rows.parquet#12` (see `jobs.regions`).
    """
    schema = pq.read_schema(path)
    refuse_repeats(schema.names, path.name)
    vectors = "features" in schema.names and _is_list(schema.field("features").type)
    left_out = ("features", "boxes", "normalized_boxes") if vectors else ()
    table = pq.read_table(path, columns=[name for name in schema.names if name not in left_out], use_threads=False)
    if not vectors:
        return table
    count = pq.read_metadata(path).num_rows
    return table.append_column("features", pa.array([f"{path.name}#{row}" for row in range(count)], pa.string()))


def refuse_repeats(names: Sequence[str], where: str) -> None:
    """`JobError` for a table with two columns of one name: nobody can say which is meant."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise JobError(f"{where} has two columns named '{twice[0]}'")


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def as_strings(column: pa.Array, where: str) -> pa.Array:
    """`column` as string, blank text as null; lists (of boxes) as JSON. Raises `JobError` for raw bytes."""
    kind = column.type
    if pa.types.is_struct(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise JobError(f"{where} holds {kind}, expected text (paths, not the pictures themselves)")
    if pa.types.is_floating(kind):  # a column of whole numbers with gaps, as pandas writes it
        column = column.cast(pa.float64())
        small = pc.less(pc.abs(column), EXACT)  # infinity is no whole number, and NaN is not less than anything
        whole = pc.all(pc.and_(small, pc.equal(column, pc.floor(column))), min_count=0).as_py()
        column = column.cast(pa.int64()) if whole else column
    text = as_typed(column) if not pa.types.is_string(column.type) else column
    text = text if pa.types.is_string(text.type) else text.cast(pa.string())
    blank = pc.equal(pc.utf8_trim_whitespace(text), "")
    return pc.if_else(pc.fill_null(blank, False), pa.scalar(None, pa.string()), text)


def as_typed(column: pa.Array) -> pa.Array:
    """`column` as bool, int64, double or string, whichever holds its values without loss."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return as_typed(column.dictionary_decode())
    if pa.types.is_boolean(kind) or pa.types.is_string(kind):
        return column
    if pa.types.is_integer(kind):
        return column.cast(pa.float64(), safe=False) if pa.types.is_uint64(kind) else column.cast(pa.int64())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    if pa.types.is_temporal(kind) or pa.types.is_large_string(kind):
        return column.cast(pa.string())
    return pa.array(_texts(column.to_pylist()), pa.string())
