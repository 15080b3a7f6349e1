"""How well suspects match the planted cues."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from benchmarks.spurious.settings import KINDS, LOCAL_KINDS
from benchmarks.spurious.slices import Slice
from benchmarks.spurious.subject import Truth

FIRST = 25
"""Slices of an auditor that are looked at."""
SHOWN = 10
"""Members of a slice that are looked at."""
PRECISION = 0.8
FEWEST = 3
"""A cue with fewer samples to find is too rare for a verdict."""
BANDS = {"1-2 %": (0.0, 0.03), "5-10 %": (0.03, 0.15), "20-40 %": (0.15, 0.5), "60-90 %": (0.5, 1.0)}
Row = dict[str, Any]


def hits_of(truth: Truth, predicted: np.ndarray, cue: int) -> np.ndarray:
    """Samples to find [N] bool: they carry the cue and are predicted its class."""
    return (truth.cue_of == cue) & (predicted == truth.cues[cue].class_index)


def too_rare(hits: np.ndarray) -> bool:
    """Whether fewer than three samples could be found."""
    return int(hits.sum()) < FEWEST


def rank_of(slices: Sequence[Slice], hits: np.ndarray) -> int | None:
    """Place (from 1) of the first slice whose first ten members are hits to more than 80 %; None without any.

    Where fewer than ten hits exist, as many members count as there are hits. Members that a slice lacks are misses.
    """
    shown = min(SHOWN, int(hits.sum()))
    for rank, suspect in enumerate(slices[:FIRST], 1):
        members = list(suspect.members[:shown])
        if shown >= FEWEST and hits[members].sum() > PRECISION * shown:
            return rank
    return None


def flagged_classes(slices: Iterable[Slice]) -> set[int]:
    """Classes with an alarm."""
    return {suspect.class_index for suspect in slices if suspect.flagged}


def _share(values: Sequence[bool]) -> float | None:
    return round(sum(values) / len(values), 3) if values else None


def found_shares(rows: Sequence[Row]) -> Row:
    """Shares found over 'found' rows of one auditor: overall, by kind, by prevalence, and for local frequent cues."""
    sure = [r for r in rows if not r["too_rare"]]
    ranks = sorted(r["rank"] for r in sure if r["found"])
    bands = {
        name: _share([r["found"] for r in sure if low < r["prevalence"] <= high]) for name, (low, high) in BANDS.items()
    }
    local = [r["found"] for r in sure if r["kind"] in LOCAL_KINDS and r["prevalence"] >= 0.2]
    return {
        "settings": len(rows),
        "too_rare": len(rows) - len(sure),
        "found": _share([r["found"] for r in sure]),
        "local_20": _share(local),
        "median_rank": ranks[len(ranks) // 2] if ranks else None,
        "by_kind": {kind: _share([r["found"] for r in sure if r["kind"] == kind]) for kind in KINDS},
        "by_prevalence": bands,
    }


def summarise(rows: Sequence[Row]) -> list[Row]:
    """One row per auditor: what it found of the cues that models rely on, and its false alarms on clean classes."""
    summary = []
    for auditor in dict.fromkeys(r["auditor"] for r in rows if r["row"] == "found"):
        mine = [r for r in rows if r.get("auditor") == auditor]
        clean = [r for r in mine if r["row"] == "class" and r["clean"]]
        summary.append(
            {
                "auditor": auditor,
                **found_shares([r for r in mine if r["row"] == "found" and r["relies"]]),
                "clean_classes": len(clean),
                "false_alarms": _share([r["flagged_twin"] for r in clean]),
                "false_alarms_beside_cues": _share([r["flagged"] for r in clean]),
            }
        )
    return summary


def relied_shares(rows: Sequence[Row]) -> Row:
    """How many planted cues the models rely on: overall, by kind and by prevalence."""
    cues = [r for r in rows if r["row"] == "cue"]
    return {
        "planted": len(cues),
        "relied": sum(r["relies"] for r in cues),
        "by_kind": {kind: _share([r["relies"] for r in cues if r["kind"] == kind]) for kind in KINDS},
        "by_prevalence": {
            str(p): _share([r["relies"] for r in cues if r["prevalence"] == p])
            for p in sorted({r["prevalence"] for r in cues})
        },
    }
