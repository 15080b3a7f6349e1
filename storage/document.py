"""The tables of docs/schema.md, written from the column list: `python -m storage.document` brings them up to date."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from storage.columns import PART_ONLY_COLUMNS, TABLES, Column

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "schema.md"
_BLOCK = re.compile(r"(<!-- columns of (?P<table>\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def documented_tables() -> dict[str, tuple[Column, ...]]:
    """Everything that has a table in the document."""
    return {**TABLES, "parts": PART_ONLY_COLUMNS}


def column_table(columns: tuple[Column, ...]) -> str:
    """A Markdown table: column, type, unit, meaning."""
    lines = ["| column | type | unit | meaning |", "|---|---|---|---|"]
    for column in columns:
        name, _, kind = column.name.partition(" ")  # vectors carry their type in the name
        lines.append(f"| `{name}` | {kind or column.sql_type} | {column.unit} | {column.meaning} |")
    return "\n".join(lines) + "\n"


def updated(text: str) -> str:
    """The document with every column table replaced by the current one."""
    tables = documented_tables()
    return _BLOCK.sub(lambda block: block[1] + column_table(tables[block["table"]]) + block[3], text)


def main() -> None:
    """Rewrite docs/schema.md."""
    before = DOCUMENT.read_text()
    after = updated(before)
    DOCUMENT.write_text(after)
    sys.stderr.write(f"{DOCUMENT} {'was up to date' if before == after else 'updated'}\n")


if __name__ == "__main__":
    main()
