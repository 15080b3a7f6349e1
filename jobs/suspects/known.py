"""Suspects that an earlier search knew: they keep their ids, and with them what people said of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.suspects import Candidate
from jobs.suspects.gather import Gathered
from jobs.suspects.tested import Tested

SAME = 0.5  # share of the shorter list of samples by which an earlier suspect is known again
SUBJECT = ("word", "property", "category")  # of a cue: what is tested, and never the same for another one


@dataclass(frozen=True)
class Known:
    """The id of a candidate, and what an earlier search found out by testing it (None: nothing)."""

    id: str
    tested: Tested | None


def known_again(
    chosen: Sequence[Candidate], gathered: Gathered, before: Sequence[Mapping[str, Any]], photos: int
) -> list[Known]:
    """One `Known` per candidate. A suspect that is found again, also among more samples, is the same suspect; the most
    alike are matched first, as of two cues of a class one may lie within the photos of the other.

    `before` are the rows of the earlier list; tests on another number of `photos` do not count.
    """
    ids = [gathered.ids[one.members] for one in chosen]
    pairs = [
        (_alike(one, own, row), k, j)
        for k, (one, own) in enumerate(zip(chosen, ids, strict=True))
        for j, row in enumerate(before)
    ]
    home: dict[int, Mapping[str, Any]] = {}
    taken: set[int] = set()
    for alike, k, j in sorted(pairs, key=lambda pair: -pair[0]):
        if alike > 0 and k not in home and j not in taken:
            home[k] = before[j]
            taken.add(j)
    return [
        Known(str(home[k]["id"]), Tested.read(home[k], photos)) if k in home else Known(_new_id(one, ids[k]), None)
        for k, one in enumerate(chosen)
    ]


def _alike(one: Candidate, ids: np.ndarray, row: Mapping[str, Any]) -> float:
    """Jaccard index of the samples of a candidate and of an earlier suspect; 0 where they are not the same."""
    cue = one.cue.to_json()
    if row["kind"] != one.kind or row["class_index"] != one.class_index:
        return 0.0
    if any(cue.get(name) != row["cue"].get(name) for name in SUBJECT):
        return 0.0
    shared, shorter = len(np.intersect1d(ids, row["sample_ids"])), min(len(ids), len(row["sample_ids"]))
    if not shared or shared < SAME * shorter:
        return 0.0
    return shared / (len(ids) + len(row["sample_ids"]) - shared)


def _new_id(one: Candidate, ids: np.ndarray) -> str:
    """`concept-0a1b2c3d`: kind, and a hash of the class and the samples."""
    words = repr((one.class_index, sorted(ids.tolist()), sorted(one.cue.to_json())))
    return f"{one.kind}-{hashlib.sha256(words.encode()).hexdigest()[:8]}"
