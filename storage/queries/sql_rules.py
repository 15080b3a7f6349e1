"""What a user's SQL may say: one SELECT over the run's views. It is judged by its parse tree, never by its words."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterator
from typing import Any

import duckdb

from storage.errors import StoreError, suggest
from storage.reader import RunReader

MOST_TEXT = 20_000  # characters
TABLE_FUNCTIONS = ("range", "generate_series", "unnest")  # the others read files, settings or other databases
# Functions of values that tell of the server (settings hold its paths), write (its log, a seed, a sequence), wait, or
# plan SQL of their own. `tests/reliability/test_security_sql.py` goes through all that the installed DuckDB has.
REFUSED = re.compile(
    r"pg_\w+|duckdb_\w+|pragma_\w+|has_\w+_privilege|inet_\w+|\w+_description|format_type|get_block_size|stats"
    r"|current_(setting|query|query_id|connection_id|transaction_id|schemas)|txid_current|in_search_path"
    r"|getvariable|getenv|write_log|\w*setseed|nextval|currval|setval|sleep_ms|parse_duckdb_log_message"
    r"|json_serialize_plan|json_deserialize_sql|json_execute_serialized_sql|query|query_table|error"
)
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)  # as DuckDB compares names
Source = tuple[str, str, frozenset[str]]


def checked(reader: RunReader, text: str) -> str:
    """The text of a query that reads nothing but the views of the run. Raises StoreError."""
    try:
        return _checked(reader, text)
    except RecursionError as error:
        raise StoreError("the query is nested too deeply; the query was not run") from error


def tables(reader: RunReader) -> list[str]:
    """The views that a query may name."""
    found = reader.query("SELECT view_name FROM duckdb_views() WHERE NOT internal AND schema_name = 'main' ORDER BY 1")
    return [row["view_name"] for row in found if not row["view_name"].startswith("_")]


def _checked(reader: RunReader, text: str) -> str:
    text = text.strip().rstrip(";").strip()
    if not text:
        raise StoreError("the query is empty; SELECT sample_id FROM explanations WHERE entropy < 0.5 is one")
    if len(text) > MOST_TEXT:
        raise StoreError(f"the query has {len(text):,} characters; it may have {MOST_TEXT:,}. It was not run")
    if re.search("[\x00\ud800-\udfff]", text):
        raise StoreError("the query holds a character that is none (NUL, or half of one); it was not run")
    try:
        statements = reader.cursor().extract_statements(text)
    except duckdb.Error as error:
        raise StoreError(f"the query is not understood: {str(error).splitlines()[0]}") from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise StoreError("one SELECT is allowed, nothing that changes anything; the query was not run")
    tree = json.loads(reader.cursor().execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchall()[0][0])
    if tree.get("error"):
        raise StoreError(f"the query is not understood: {tree.get('error_message')}")
    allowed = tables(reader)
    lowered = {_lower(name) for name in allowed}
    for kind, name, own in _sources(tree, frozenset()):
        if (kind == "function" and _lower(name) not in TABLE_FUNCTIONS) or kind == "refused":
            raise StoreError(f"the query calls {name[:80]!r}; only the tables of the run can be read")
        if kind == "table" and _lower(name) not in lowered | own:
            known = suggest(name[:80], sorted(allowed))
            raise StoreError(f"the run has no table {name[:80]!r}{known}; the query was not run")
    return text


def _sources(node: Any, own: frozenset[str]) -> Iterator[Source]:
    """(kind, name, names that WITH defines here) of all that a serialised query reads or calls."""
    if isinstance(node, list):
        for part in node:
            yield from _sources(part, own)
    if not isinstance(node, dict):
        return
    for entry in (node.get("cte_map") or {}).get("map", []):  # a part of WITH sees those before it, not those after
        name = _lower(entry["key"])
        itself = (entry["value"].get("query_node") or {}).get("type") == "RECURSIVE_CTE_NODE"
        yield from _sources(entry["value"], own | {name} if itself else own)
        own = own | {name}
    yield from _named(node, own)
    for key, part in node.items():
        if key != "cte_map":
            yield from _sources(part, own)


def _named(node: dict[str, Any], own: frozenset[str]) -> Iterator[Source]:
    """What this node itself reads or calls."""
    kind = node.get("type")
    if kind == "BASE_TABLE":
        qualified = node.get("catalog_name") or node.get("schema_name") not in ("", "main", None)
        if qualified or node.get("schema_name"):  # a part of WITH is never named with a schema
            own = frozenset()
        yield "table", f"{node['schema_name']}.{node['table_name']}" if qualified else node["table_name"], own
    elif kind == "TABLE_FUNCTION":
        yield "function", node["function"]["function_name"], own
    elif kind == "SHOW_REF" and not (node.get("show_type") in ("DESCRIBE", "SUMMARY") and node.get("query")):
        yield "refused", str(node.get("show_type") or "SHOW"), own
    elif node.get("class") == "FUNCTION" and REFUSED.fullmatch(_lower(node["function_name"])):
        yield "refused", node["function_name"], own


def _lower(name: str) -> str:
    return name.translate(_LOWER)
