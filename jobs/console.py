"""What the commands print: one JSON document, or lines for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

MOST_REASONS = 3


def emit_json(document: Any) -> None:
    """The only thing `--json` puts on stdout."""
    say(json.dumps(document, indent=2, default=str, ensure_ascii=False))


def complain(message: str, kind: str = "error: ") -> None:
    """One line on stderr, whatever the message holds."""
    from storage.errors import line  # `--help` need not wait for the store
    from storage.media.secrets import shown

    sys.stderr.write(f"{kind}{shown(line(message))}\n")
    sys.stderr.flush()


def say(text: str) -> None:
    """Lines for people on stdout, without the passwords and keys of addresses in them."""
    from storage.media.secrets import shown

    sys.stdout.write(f"{shown(text)}\n")
    sys.stdout.flush()


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """Rows as aligned text; `columns` maps keys to headings. Numbers stand right."""
    cells = [list(columns.values())] + [[cell(row.get(key)) for key in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    numeric = [all(isinstance(row.get(key), int | float | None) for row in rows) for key in columns]
    lines = []
    for line in cells:
        aligned = zip(line, widths, numeric, strict=True)
        lines.append("  ".join(text.rjust(w) if right else text.ljust(w) for text, w, right in aligned).rstrip())
    return "\n".join(lines)


def cell(value: Any) -> str:
    """One value in few characters."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def when(stamp: str | None) -> str:
    """An ISO 8601 time in the reader's own time zone, to the minute."""
    return "-" if not stamp else datetime.fromisoformat(stamp).astimezone().strftime("%Y-%m-%d %H:%M")


def reasons(failures: Iterable[Mapping[str, Any]], most: int = MOST_REASONS) -> str:
    """`2 truncated picture, 1 not a picture, 4 for other reasons`."""
    listed = list(failures)
    words = [f"{entry['n']} {entry['reason']}" for entry in listed[:most]]
    rest = sum(entry["n"] for entry in listed[most:])
    return "; ".join([*words, f"{rest} for other reasons"] if rest else words)
