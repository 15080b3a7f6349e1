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


@dataclass(frozen=True)
class Known:
    """The id of a candidate, and what an earlier search found out by testing it (None: nothing)."""

    id: str
    tested: Tested | None


def known_again(
    chosen: Sequence[Candidate], gathered: Gathered, before: Sequence[Mapping[str, Any]], photos: int
) -> list[Known]:
    """One `Known` per candidate. A suspect that is found again, also among more samples, is the same suspect.

    `before` are the rows of the earlier list; tests on another number of `photos` do not count.
    """
    free = list(before)
    found: list[Known] = []
    for one in chosen:
        ids = gathered.ids[one.members]
        place = next((k for k, row in enumerate(free) if _same(one, ids, row)), None)
        if place is None:
            found.append(Known(_new_id(one, ids), None))
        else:
            row = free.pop(place)
            found.append(Known(str(row["id"]), Tested.read(row, photos)))
    return found


def _same(one: Candidate, ids: np.ndarray, row: Mapping[str, Any]) -> bool:
    if row["kind"] != one.kind or row["class_index"] != one.class_index:
        return False
    shared = len(np.intersect1d(ids, row["sample_ids"]))
    return shared >= SAME * min(len(ids), len(row["sample_ids"]))


def _new_id(one: Candidate, ids: np.ndarray) -> str:
    """`concept-0a1b2c3d`: kind, and a hash of the class and the samples."""
    words = repr((one.class_index, sorted(ids.tolist()), sorted(one.cue.to_json())))
    return f"{one.kind}-{hashlib.sha256(words.encode()).hexdigest()[:8]}"
