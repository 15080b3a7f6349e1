"""A user's own SQL over a run: one SELECT over the run's views, no file, no network, and not for ever."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from storage.errors import StoreError, suggest
from storage.reader import RunReader

MOST_ROWS = 5_000
SECONDS = 10.0
TABLE_FUNCTIONS = ("range", "generate_series", "unnest")  # the others read files, settings or other databases


def run_sql(reader: RunReader, text: str, *, rows: int = MOST_ROWS, seconds: float = SECONDS) -> pa.Table:
    """The first rows of a query. Raises StoreError when it is no plain SELECT over the run, or takes too long."""
    return _run(reader, f"SELECT * FROM ({_checked(reader, text)}\n) LIMIT {int(rows)}", seconds)


def sql_ids(reader: RunReader, text: str, *, seconds: float = SECONDS) -> np.ndarray:
    """The distinct sample ids, int64 and sorted, in the column ``sample_id`` of a query. Raises StoreError."""
    inner = _checked(reader, text)
    names = _run(reader, f"SELECT * FROM ({inner}\n) LIMIT 0", seconds).column_names
    if "sample_id" not in names:
        raise StoreError(f"the query has no column 'sample_id', which says which samples it means; it has {names}")
    wanted = f"SELECT DISTINCT sample_id::BIGINT AS sample_id FROM ({inner}\n) WHERE sample_id IS NOT NULL ORDER BY 1"
    return _run(reader, wanted, seconds)["sample_id"].to_numpy()


def sql_tables(reader: RunReader) -> list[str]:
    """The views that a query may name."""
    found = reader.query("SELECT view_name FROM duckdb_views() WHERE NOT internal AND schema_name = 'main' ORDER BY 1")
    return [row["view_name"] for row in found if not row["view_name"].startswith("_")]


def _checked(reader: RunReader, text: str) -> str:
    """The text of a query that reads nothing but the views of the run."""
    text = text.strip().rstrip(";").strip()
    if not text:
        raise StoreError("the query is empty; SELECT sample_id FROM explanations WHERE entropy < 0.5 is one")
    try:
        statements = reader.cursor().extract_statements(text)
    except duckdb.Error as error:
        raise StoreError(f"the query is not understood: {_first_line(error)}") from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise StoreError("one SELECT is allowed, nothing that changes anything; the query was not run")
    tree = json.loads(reader.cursor().execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchall()[0][0])
    if tree.get("error"):
        raise StoreError(f"the query is not understood: {tree.get('error_message')}")
    allowed = set(sql_tables(reader))
    for kind, name, own in _sources(tree, frozenset()):
        if kind == "function" and name not in TABLE_FUNCTIONS:
            raise StoreError(f"the query calls {name!r}; only the tables of the run can be read")
        if kind == "table" and name not in allowed and name not in own:
            raise StoreError(f"the run has no table {name!r}{suggest(name, sorted(allowed))}; the query was not run")
    return text


def _sources(node: Any, own: frozenset[str]) -> Iterator[tuple[str, str, frozenset[str]]]:
    """(kind, name, names that WITH defines here) of every table and table function in a serialised query."""
    if isinstance(node, list):
        for part in node:
            yield from _sources(part, own)
    if not isinstance(node, dict):
        return
    own = own | {entry["key"] for entry in (node.get("cte_map") or {}).get("map", [])}
    if node.get("type") == "BASE_TABLE":
        qualified = node.get("catalog_name") or node.get("schema_name") not in ("", "main", None)
        yield "table", f"{node['schema_name']}.{node['table_name']}" if qualified else node["table_name"], own
    elif node.get("type") == "TABLE_FUNCTION":
        yield "function", node["function"]["function_name"], own
    for part in node.values():
        yield from _sources(part, own)


def _run(reader: RunReader, sql: str, seconds: float) -> pa.Table:
    """The result, or StoreError; a query that takes too long is stopped."""

    def work(cursor: duckdb.DuckDBPyConnection) -> pa.Table:
        stop = threading.Timer(seconds, cursor.interrupt)
        stop.start()
        try:
            return cursor.sql(sql).to_arrow_table()
        except duckdb.InterruptException as error:
            raise StoreError(f"the query was stopped after {seconds:g} seconds; restrict it or ask for less") from error
        except duckdb.IOException:
            raise
        except duckdb.Error as error:
            raise StoreError(f"the query failed: {_first_line(error)}") from error
        finally:
            stop.cancel()

    return reader.retrying(work)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
