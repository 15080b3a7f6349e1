"""Where the relevancy of stored maps lies: on the subject, on the cue, elsewhere."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jobs.coverage import Grid, View, cover_of_mask

FACTS = (
    "s.sample_id, s.uri, s.label, s.split, s.view_x0, s.view_y0, s.view_x1, s.view_y1, e.predicted, e.score, e.correct"
)


@dataclass(frozen=True)
class Finding:
    """One explained picture: its manifest row, the model's answer, and the shares (0..1, they add up to 1).

    `object_area` and `cue_area` are the shares of the token grid that both cover, to compare with.
    """

    row: Mapping[str, str]
    predicted: str | None
    correct: bool | None
    score: float
    on_object: float
    on_cue: float
    elsewhere: float
    object_area: float
    cue_area: float


def read_manifest(manifest: Path) -> dict[str, dict[str, str]]:
    """Rows of a manifest by picture path."""
    with manifest.open(newline="", encoding="utf-8") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def _cover(root: Path, path: str, view: View, grid: Grid) -> np.ndarray:
    """Covered share of every token cell [h, w] by a mask file; nothing where the path is empty."""
    if not path:
        return np.zeros(grid, np.float32)
    with Image.open(root / path) as mask:
        return cover_of_mask(np.asarray(mask) > 127, view, grid)


def _finding(
    found: Mapping[str, Any], relevancy: np.ndarray, grid: Grid, row: Mapping[str, str], root: Path
) -> Finding:
    view = (found["view_x0"], found["view_y0"], found["view_x1"], found["view_y1"])
    subject, cue = (_cover(root, row[name], view, grid) for name in ("mask", "cue_mask"))
    weights = relevancy.reshape(grid) / max(float(relevancy.sum()), 1e-12)
    on_object, on_cue = float((weights * subject).sum()), float((weights * cue).sum())
    return Finding(
        row,
        found["predicted"],
        found["correct"],
        found["score"],
        on_object,
        on_cue,
        1.0 - on_object - on_cue,
        float(subject.mean()),
        float(cue.mean()),
    )


def read_findings(reader: Any, manifest: Path, target: str) -> list[Finding]:
    """All explained pictures of a run (`storage.RunReader`) on a demo manifest, with the shares of one target's maps.

    The masks are averaged over the rectangle that each token cell covers, so the shares are exact.
    """
    rows = read_manifest(manifest)
    grid: Grid = tuple(reader.record.model["grid"])
    query = (
        f"SELECT {FACTS} FROM samples s JOIN explanations e USING (sample_id) "
        "WHERE e.target = ? AND e.modality = 'image' ORDER BY s.sample_id"
    )
    found = reader.query(query, [target])
    maps = reader.maps([(row["sample_id"], target) for row in found], "image")
    return [_finding(row, maps[row["sample_id"], target], grid, rows[row["uri"]], manifest.parent) for row in found]


def mean(findings: Sequence[Finding], field: str) -> float | None:
    """Mean of a number over findings, None when there are none."""
    values = [getattr(finding, field) for finding in findings]
    return round(float(np.mean(values)), 4) if values else None
