"""`compare`: two runs of one dataset. Nothing here needs a model, so nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.console import table
from jobs.errors import JobError
from storage import Store
from storage.compare import compare, differences, list_sentence, summary_sentences

MOST_LINES = 20  # of the table for people; --json has all of --top
SETTINGS = 12  # that differ, listed for people
WIDTH = 40  # characters of a file's name
SHARES = ("mask_share", "box_share", "border_share", "entropy")
BOTH = ("correct", "confidence", "score", *SHARES)
OTHERS = {"changed": "changed", "became_wrong": "wrong", "became_right": "right", "left_object": "left"}
COLUMNS = {
    "sample_id": "sample",
    "file": "file",
    "label": "label",
    "predicted_a": "in A",
    "predicted_b": "in B",
    "alike": "alike",
    "shares": "on the object",
}


def compare_runs(
    store: str, run_a: str, run_b: str, *, target: str | None, modality: str | None, top: int, threshold: float
) -> dict[str, Any]:
    """The document of `compare`: summary, settings that differ, and the first `top` samples of each list.

    Raises JobError or StoreError.
    """
    if top < 1:
        raise JobError(f"--top {top}: must be at least 1")
    if not 0 < threshold <= 1:
        raise JobError(f"--threshold {threshold}: must be above 0 and at most 1")
    opened = Store.open(store)
    with opened.reader(run_a) as a, opened.reader(run_b) as b, compare(a, b, target, modality) as comparison:
        names = {"moved": "moved", **OTHERS}
        lists = {key: comparison.page(name, 1, top, threshold) for key, name in names.items()}
        by_uri = comparison.joined_by == "uri"
        return {
            "run_a": run_a,
            "run_b": run_b,
            "store": opened.address,
            "summary": comparison.summary(threshold),
            "differences": differences(a.record, b.record),
            **{key: [_row(row, by_uri) for row in rows] for key, rows in lists.items()},
        }


def _row(row: Mapping[str, Any], by_uri: bool) -> dict[str, Any]:
    """One sample, flat."""
    a, b = row["a"], row["b"]
    return {
        "sample_id": row["id_a"],
        **({"sample_id_b": row["id_b"]} if by_uri else {}),
        **{name: a[name] for name in ("uri", "label", "text") if name != "text" or a[name] is not None},
        "predicted_a": a["predicted"],
        "predicted_b": b["predicted"],
        "changed": row["changed"],
        **{f"{name}_{side}": row[f"{name}_{side}"] for name in BOTH for side in ("a", "b")},
        "confidence_change": _change(row["confidence_a"], row["confidence_b"]),
        **{f"{name}_change": _change(row[f"{name}_a"], row[f"{name}_b"]) for name in SHARES},
        "similarity": row["similarity"],
        "moved": row["moved"],
        "shift": row["shift"],
    }


def _change(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else b - a


def compare_text(document: Mapping[str, Any], store: str) -> str:
    """`compare_runs` in lines."""
    summary = document["summary"]
    lines = [f"A: {document['run_a']}", f"B: {document['run_b']}", f"target {summary['target']}, {summary['modality']}"]
    lines += [f"  {sentence}" for sentence in summary_sentences(summary)]
    lines += [f"  note: {note}" for note in summary["notes"]]
    if differing := document["differences"]:
        told = "; ".join(f"{_short(d['setting'])}: {_short(d['a'])} -> {_short(d['b'])}" for d in differing[:SETTINGS])
        rest = len(differing) - SETTINGS
        lines.append(f"  they differ in {told}{f'; and {rest} more (--json lists all)' if rest > 0 else ''}")
    for key, name in (("left_object", "left"), ("became_wrong", "wrong"), ("moved", "moved")):
        if document[key]:
            lines += ["", f"{list_sentence(name, summary)}:", _table(document[key][:MOST_LINES], summary["basis"])]
    lines += ["", f"look at them: python -m dashboard --store {store}, page Compare"]
    return "\n".join(lines)


def _table(rows: list[dict[str, Any]], basis: str | None) -> str:
    share = basis if basis in SHARES else None
    shown = [
        {
            **{name: row[name] for name in ("sample_id", "label")},
            "file": _short(row["uri"]),
            **{name: _sure(row[name], row[f"confidence_{name[-1]}"]) for name in ("predicted_a", "predicted_b")},
            "alike": "-" if row["similarity"] is None else f"{row['similarity']:.2f}",
            "shares": _shares(row, share),
        }
        for row in rows
    ]
    names = {**COLUMNS, "shares": "on the border" if share == "border_share" else COLUMNS["shares"]}
    return table(shown, names if share else {key: names[key] for key in names if key != "shares"})


def _shares(row: Mapping[str, Any], share: str | None) -> str:
    values = [row[f"{share}_{side}"] for side in ("a", "b")] if share else []
    return " -> ".join("-" if value is None else f"{value:.0%}" for value in values)


def _sure(predicted: str | None, confidence: float | None) -> str:
    return f"{_short(predicted or '-')} {confidence:.0%}" if confidence is not None else _short(predicted or "-")


def _short(text: str) -> str:
    """One line, from its end where it is a long path."""
    flat = " ".join(str(text).split())
    return flat if len(flat) <= WIDTH else f"…{flat[-WIDTH + 1 :]}"
