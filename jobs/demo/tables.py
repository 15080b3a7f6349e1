"""The demo's short tables: what the models get right, and where they look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table

from jobs.demo.cues import CUE_CLASSES, NO_CUE
from jobs.demo.objects import CLASSES
from jobs.demo.plan import OWN_CUES
from jobs.demo.shares import Finding, mean

SHARES = ("on_object", "on_cue", "elsewhere", "object_area", "cue_area")
MARKS = {
    "none": "none",
    "overlay": "banner names another class",
    "swapped": "caption of another picture",
    "watermark": "agency watermark",
}


def _where(findings: Sequence[Finding], **wanted: str) -> list[Finding]:
    return [f for f in findings if all(f.row[name] == value for name, value in wanted.items())]


def class_rows(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Per class: accuracy on the three splits, and the shares over its aligned pictures."""
    rows = []
    for label in CLASSES:
        splits = {split: _where(findings, label=label, split=split) for split in ("aligned", "conflicting", "clean")}
        rows.append(
            {
                "class_name": label,
                "cue": OWN_CUES.get(label, NO_CUE),
                "n": {split: len(found) for split, found in splits.items()},
                "accuracy": {split: mean(found, "correct") for split, found in splits.items()},
                **{share: mean(splits["aligned"], share) for share in SHARES},
            }
        )
    return rows


def cue_rows(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Per cue, on pictures of other classes: how many the model calls the cue's class, and the shares on those."""
    rows = []
    for cue, label in CUE_CLASSES.items():
        here = _where(findings, split="conflicting", cue=cue)
        fooled = [f for f in here if f.predicted == label]
        rows.append(
            {
                "cue": cue,
                "class_name": label,
                "n": len(here),
                "fooled": len(fooled),
                "accuracy": mean(here, "correct"),
                **{share: mean(fooled, share) for share in SHARES},
            }
        )
    return rows


def pair_rows(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Per kind of caption problem: pairs, mean score, and where the relevancy of the score lies."""
    rows = []
    for problem in MARKS:
        here = _where(findings, problem=problem)
        rows.append(
            {
                "problem": problem,
                "n": len(here),
                "score": mean(here, "score"),
                **{share: mean(here, share) for share in SHARES},
            }
        )
    return rows


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _share(row: dict[str, Any], share: str, area: str) -> str:
    """`41 %` of the relevancy, with the area that chance alone would give in brackets."""
    return "-" if row[share] is None or not row[area] else f"{row[share]:.0%} ({row[area]:.0%})"


def _table(title: str, columns: Sequence[str], caption: str | None = None) -> Table:
    table = Table(
        title=f"\n{title}",
        caption=caption,
        title_justify="left",
        caption_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for k, column in enumerate(columns):
        table.add_column(column, justify="left" if k == 0 else "right")
    return table


def class_table(rows: Sequence[dict[str, Any]]) -> Table:
    """The table of `class_rows`."""
    columns = ("class", "cue", "aligned", "conflicting", "clean", "on object", "on cue", "elsewhere")
    table = _table(
        "Accuracy, and where the relevancy of the prediction lies (aligned pictures)",
        columns,
        "In brackets: the share of the picture that the object, or the cue, covers.",
    )
    for row in rows:
        accuracy = [_percent(row["accuracy"][split]) for split in ("aligned", "conflicting", "clean")]
        cue = "-" if row["cue"] == NO_CUE else row["cue"]
        table.add_row(
            row["class_name"],
            cue,
            *accuracy,
            _share(row, "on_object", "object_area"),
            _share(row, "on_cue", "cue_area"),
            _percent(row["elsewhere"]),
        )
    return table


def cue_table(rows: Sequence[dict[str, Any]]) -> Table:
    """The table of `cue_rows`."""
    table = _table(
        "The same cues on pictures of other classes (conflicting)",
        ("cue", "called", "pictures", "fooled", "on object", "on cue", "elsewhere"),
        "Relevancy of the pictures that were fooled.",
    )
    for row in rows:
        table.add_row(
            row["cue"],
            row["class_name"],
            str(row["n"]),
            f"{row['fooled']} of {row['n']}",
            _share(row, "on_object", "object_area"),
            _share(row, "on_cue", "cue_area"),
            _percent(row["elsewhere"]),
        )
    return table


def pair_table(rows: Sequence[dict[str, Any]]) -> Table:
    """The table of `pair_rows`."""
    table = _table(
        "Image-text pairs: CLIPScore, and where it comes from in the picture",
        ("problem of the pair", "pairs", "CLIPScore", "on object", "on mark", "elsewhere"),
    )
    for row in rows:
        score = "-" if row["score"] is None else f"{row['score']:.2f}"
        table.add_row(
            MARKS[row["problem"]],
            str(row["n"]),
            score,
            _share(row, "on_object", "object_area"),
            _share(row, "on_cue", "cue_area"),
            _percent(row["elsewhere"]),
        )
    return table
