"""Evaluation results in the terminal: a table per test, methods from best to worst."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.console import table
from storage.faithfulness import CASCADE, LOWER, SIMILARITY, better

if TYPE_CHECKING:
    from jobs.evaluate.command import EvaluateResult

Row = dict[str, Any]


def evaluation_lines(result: EvaluateResult) -> list[str]:
    """Tables, what was left out, and where to look."""
    lines = [f"{result.run}: {result.samples} samples, {', '.join(result.protocols)}, {result.seconds:.1f} s"]
    for (protocol, modality, test), rows in _grouped(result.results).items():
        if test.startswith(SIMILARITY):
            continue
        lines += ["", f"{test}, {modality} ({protocol})" + _direction(test), table(_cells(rows, test), COLUMNS)]
        lines += [f"  {note}" for note in _remarks(rows)]
    lines += [f"note: {note}" for note in result.notes]
    lines += [f"note: {count} samples left out: {reason}" for reason, count in result.skipped.items()]
    lines.append(f"look at them: python -m dashboard --store {result.store}, page Faithfulness")
    return lines


COLUMNS = {"method": "method", "value": "value", "interval": "95 % interval", "n": "samples"}


def _grouped(results: list[Row]) -> dict[tuple[str, str, str], list[Row]]:
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in results:
        found.setdefault((str(row["protocol"]), row["modality"], row["test"]), []).append(row)
    return found


def _direction(test: str) -> str:
    if test == CASCADE:
        return ": likeness of the maps once all weights are random; near 0 is good"
    way = better(test)
    return f": {way} is better" if way else ""


def _cells(rows: list[Row], test: str) -> list[Row]:
    known = sorted(
        (row for row in rows if row["auc"] is not None), key=lambda row: row["auc"], reverse=better(test) != LOWER
    )
    return [
        {
            "method": row["method"],
            "value": f"{row['auc']:.2f}",
            "interval": _interval(row),
            "n": row["n"],
        }
        for row in [*known, *(row for row in rows if row["auc"] is None)]
        if row["auc"] is not None
    ]


def _interval(row: Row) -> str:
    low, high = row.get("auc_low"), row.get("auc_high")
    return "-" if low is None or high is None else f"{low:.2f} to {high:.2f}"


def _remarks(rows: list[Row]) -> list[str]:
    """What to know of a test: samples that were left out, maps that do not react, empty masks."""
    found = []
    for row in rows:
        for reason, count in (row.get("skipped") or {}).items():
            found.append(f"{row['method']}: {count} left out ({reason})")
        details = row.get("details") or {}
        if details.get("reacts") is False:
            found.append(f"{row['method']}: the maps do NOT react to the model's weights")
        if details.get("empty_masks"):
            found.append(f"{row['method']}: {details['empty_masks']} of {details['detections']} masks are empty")
    return found
