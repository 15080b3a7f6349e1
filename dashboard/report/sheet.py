"""A report as a table: one row per suspect, as CSV that no spreadsheet takes for a formula."""

from __future__ import annotations

import csv
from io import StringIO
from typing import Any

from dashboard.report.content import Chapter, Report
from dashboard.report.text import LONG, cut
from storage import wording

EFFECT = (
    "mean",
    "low",
    "high",
    "control_mean",
    "control_low",
    "control_high",
    "flips",
    "control_flips",
    "n",
    "verdict",
)
TESTS = ("removal", "transplant", "replacement")
RATES = ("accuracy_with", "accuracy_without", "called", "called_without", "leaning")


def sheet(report: Report) -> bytes:
    """UTF-8 with a byte order mark, by which spreadsheets know it."""
    buffer = StringIO()
    rows = [_row(report, one) for one in report.chapters]
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else list(_names()), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({name: _safe(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue().encode("utf-8-sig")


def _row(report: Report, one: Chapter) -> dict[str, Any]:
    row, evidence = one.row, one.row["evidence"]
    found: dict[str, Any] = {
        "run": report.run,
        **{name: row[name] for name in ("rank", "id", "kind", "class_name", "name", "n", "share", "score", "status")},
        "flagged": "yes" if row["flagged"] else "no",
        "team": one.team,
        "headline": wording.sentence(one.headline),
        "verdicts": "; ".join(_verdict(entry) for entry in one.verdicts),
        "link": one.link,
        "expected_by_chance": evidence.get("expected_by_chance"),
    }
    effects, told = evidence.get("effects") or {}, evidence.get("consequence") or {}
    for test in TESTS:
        found |= {f"{test}_{name}": (effects.get(test) or {}).get(name) for name in EFFECT}
    for rate in RATES:
        found |= {f"{rate}_{name}": (told.get(rate) or {}).get(name) for name in ("k", "n")}
    return found


def _verdict(entry: Any) -> str:
    note = f" ({entry.note})" if entry.note else ""
    return f"{entry.verdict}: {entry.reviewer}, {entry.at:%Y-%m-%d %H:%M} UTC{note}"


def _safe(value: Any) -> Any:
    """Text on one line, cut, and no formula: what would start one gets an apostrophe before it."""
    if not isinstance(value, str):
        return value
    short, note = cut(value, LONG)
    text = f"{short} [{note}]" if note else short
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _names() -> list[str]:
    """The columns of a table without rows."""
    return [
        *("run", "rank", "id", "kind", "class_name", "name", "n", "share", "score", "status", "flagged", "team"),
        *("headline", "verdicts", "link", "expected_by_chance"),
        *(f"{test}_{name}" for test in TESTS for name in EFFECT),
        *(f"{rate}_{name}" for rate in RATES for name in ("k", "n")),
    ]
