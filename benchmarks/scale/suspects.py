"""Twelve synthetic suspects with up to 20 000 members each, shaped like those of a real search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MEMBERS = 20_000
SHOWN = 12
STATES = 96
_KINDS = ("concept", "location", "property", "concept", "concept", "property",
          "concept", "location", "word", "concept", "property", "concept")  # fmt: skip
_NAMES = {
    "concept": "alike patches at the top",
    "location": "a place: at the bottom right",
    "property": "blurred pictures",
    "word": "the word 'snow'",
}


def suspect_rows(predicted: NDArray[np.int64], classes: Sequence[str], grid: tuple[int, int]) -> list[dict[str, Any]]:
    """Rows of `suspects.parquet`. `predicted` holds a class index per sample_id, below 0 for a failed sample."""
    rng = np.random.default_rng(5)
    return [_suspect(rank, predicted, classes, grid, rng) for rank in range(1, len(_KINDS) + 1)]


def _suspect(
    rank: int, predicted: NDArray[np.int64], classes: Sequence[str], grid: tuple[int, int], rng: np.random.Generator
) -> dict[str, Any]:
    kind, number = _KINDS[rank - 1], (rank * 7) % len(classes)
    of_class = np.flatnonzero(predicted == number)
    members = rng.permutation(of_class)[: min(MEMBERS, max(1, int(len(of_class) * rng.uniform(0.2, 0.6))))]
    status = ("verified", "verified", "unverified", "refuted")[rank % 4]
    return {
        "id": f"{kind}-{rank:08x}",
        "rank": rank,
        "kind": kind,
        "name": _NAMES[kind],
        "class_name": classes[number],
        "class_index": number,
        "n": len(members),
        "share": len(members) / max(1, len(of_class)),
        "score": round(0.6 / rank, 4),
        "status": status,
        "flagged": status == "verified",
        "evidence": _evidence(status, predicted, number, rng),
        "cue": _cue(kind, members, grid, rng),
        "sample_ids": [int(i) for i in members],
    }


def _evidence(status: str, predicted: NDArray[np.int64], number: int, rng: np.random.Generator) -> dict[str, Any]:
    elsewhere = np.flatnonzero((predicted >= 0) & (predicted != number))
    effect = 0.6 if status == "verified" else 0.02
    tested = {
        "n": 20, "mean": effect, "low": effect - 0.1, "high": effect + 0.1, "control_mean": 0.01, "control_low": -0.03,
        "control_high": 0.04, "median": effect, "control_median": 0.0, "ratio": effect / 0.01, "flips": effect,
        "control_flips": 0.05, "verdict": status,
    }  # fmt: skip
    part = {"k": 800, "n": 1000, "value": 0.8, "low": 0.77, "high": 0.82}
    names = ("accuracy_with", "accuracy_without", "called", "called_without", "leaning")
    return {
        "purity": 0.9, "adjusted_purity": 0.88, "coverage": 0.4, "host_likeness": 0.1, "expected_by_chance": 0.0,
        "seen_as": [], "elsewhere": 2000, "elsewhere_ids": rng.choice(elsewhere, min(24, len(elsewhere))).tolist(),
        "tested_on": 20, "effects": {"removal": tested, "transplant": tested}, "object_share": 0.2,
        "object_usual": 0.3, "untested_because": None, "words": [], "consequence": dict.fromkeys(names, part),
    }  # fmt: skip


def _cue(kind: str, members: NDArray[np.int64], grid: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
    boxes = {str(i): [0.25, 0.0, 0.75, 0.4] for i in members[:SHOWN]}
    if kind == "concept":
        states = rng.normal(size=(3, STATES)).round(5)
        return {"prototypes": states[:2].tolist(), "center": states[2].tolist(), "cut": 0.5, "boxes": boxes}
    if kind == "location":
        return {"cells": [grid[0] * grid[1] - k for k in range(1, 5)], "boxes": boxes}
    if kind == "word":
        return {"word": "snow", "boxes": {}}
    return {"property": "sharpness", "low": None, "high": -2.6, "category": None, "measured": True, "boxes": {}}
