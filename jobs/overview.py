"""`list` and `status`: what is in a store. Nothing here needs a model, so nothing here imports torch."""

from __future__ import annotations

from typing import Any

from jobs.console import reasons, table, when
from storage import RunReader, Store, list_runs, run_row

COLUMNS = {
    "run": "run",
    "state": "state",
    "samples": "samples",
    "explained": "explained",
    "failed": "failed",
    "samples_per_second": "samples/s",
    "created": "created",
}


def runs(store: str) -> list[dict[str, Any]]:
    """One row per run, newest first."""
    return list_runs(Store.open(store))


def runs_text(rows: list[dict[str, Any]], store: str) -> str:
    """`runs` as a table."""
    if not rows:
        return f"no runs in {store} yet: python -m jobs run --data DIR --model NAME --store {store}"
    return table([{**row, "created": when(row["created_at"])} for row in rows], COLUMNS)


def status(store: str, run: str | None) -> dict[str, Any]:
    """The row of one run (the newest without a name), its failures by reason, time shares, settings and notes."""
    opened = Store.open(store)
    if run is None:
        known = opened.run_ids()
        if not known:
            return {}
        run = known[0]
    row = run_row(opened, run)
    if row["state"] == "unreadable":
        return row
    reader = opened.reader(run)
    try:
        failures = reader.query("SELECT reason, count(*) AS n FROM failures GROUP BY reason ORDER BY n DESC, reason")
        progress, record, problems = reader.progress(), reader.record, reader.problems
        zero_rows = zero_row_counts(reader)
    finally:
        reader.close()
    return {
        **row,
        "parts_done": progress.parts_done,
        "parts_total": progress.parts_total,
        "seconds": {
            "read": progress.seconds_read,
            "compute": progress.seconds_compute,
            "write": progress.seconds_write,
        },
        "updated_at": progress.updated_at,
        "failures": failures,
        "zero_rows": zero_rows,
        "spec": record.spec,
        "notes": record.notes,
        "problems": problems,
    }


def zero_row_counts(reader: RunReader) -> dict[str, int] | None:
    """How many explanations with a normalisation there are, and how many of them met a row of zeros (0/0)."""
    if "zero_rows" in reader.record.taken:  # of the first schema, which did not count them
        return None
    (row,) = reader.query(
        "SELECT count(*) AS explanations, count(*) FILTER (zero_rows > 0) AS met FROM ("
        "SELECT DISTINCT sample_id, target, zero_rows FROM explanations WHERE zero_rows IS NOT NULL)"
    )
    return row if row["explanations"] else None


def zero_rows_text(counts: dict[str, int] | None, spec: dict[str, Any]) -> list[str]:
    """A line about rows of zeros, where there were any."""
    if not counts or not counts["met"]:
        return []
    other = "identity" if spec.get("on_zero_row", "authors") == "authors" else "authors"
    share = f"{counts['met']} of {counts['explanations']} explanations"
    return [f"a row of zeros (0/0) was normalised in {share}; --on-zero-row {other} treats it differently"]


def status_text(row: dict[str, Any], store: str) -> str:
    """`status` in lines."""
    if not row:
        return runs_text([], store)
    if row["state"] == "unreadable":
        return f"{row['run']}: unreadable ({row['problem']})"
    lines = [
        f"{row['run']}: {row['state']}{' (working now)' if row['live'] else ''}, begun {when(row['created_at'])}",
        f"  {row['dataset']} with {row['model']}, method {row['method']}, target {row['target']}",
        f"  {row['explained']} of {row['samples']} samples explained, {row['failed']} failed"
        f" ({row['parts_done']} of {row['parts_total'] or '?'} parts)",
    ]
    total = sum(row["seconds"].values())
    if total:
        lines.append("  time: " + ", ".join(f"{stage} {s / total:.0%}" for stage, s in row["seconds"].items()))
    if row["failures"]:
        lines.append(f"  failures: {reasons(row['failures'], 10)}")
    lines += [f"  note: {note}" for note in (*row["notes"], *zero_rows_text(row["zero_rows"], row["spec"]))]
    lines += [f"  damage: {problem}" for problem in row["problems"]]
    if row["state"] == "interrupted" or row["problems"]:
        lines.append("  run the same command again to go on")
    return "\n".join(lines)
