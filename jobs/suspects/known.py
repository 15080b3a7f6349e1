"""Suspects that an earlier search knew: they keep their ids, and with them what people said of them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from engine.suspects import Candidate, ConceptCue
from jobs.suspects.tested import Tested

SAME = 0.5  # share of the shorter list of samples by which an earlier suspect is known again
SUBJECT = ("word", "property", "category")  # of a cue: what is tested, and never the same for another one


class Numbered(Protocol):
    """A run that was read."""

    @property
    def ids(self) -> np.ndarray:
        """Sample ids, by the rows that candidates speak of."""


@dataclass(frozen=True)
class Known:
    """The id of a candidate, and what an earlier search found out by testing it (None: nothing)."""

    id: str
    tested: Tested | None


def known_again(
    chosen: Sequence[Candidate], gathered: Numbered, before: Sequence[Mapping[str, Any]], photos: int
) -> list[Known]:
    """One `Known` per candidate. A suspect that is found again, also among more samples, is the same suspect; the most
    alike are matched first, as of two cues of a class one may lie within the photos of the other.

    `before` are the rows of the earlier list; tests on another number of `photos` do not count.
    """
    ids = [gathered.ids[one.members] for one in chosen]
    pairs = [
        (_alike(one, own, row), _looks(one, row), k, j)
        for k, (one, own) in enumerate(zip(chosen, ids, strict=True))
        for j, row in enumerate(before)
    ]
    home: dict[int, Mapping[str, Any]] = {}
    taken: set[int] = set()
    for alike, _, k, j in sorted(pairs, key=lambda pair: (-pair[0], -pair[1])):
        if alike > 0 and k not in home and j not in taken:
            home[k] = before[j]
            taken.add(j)
    names = {str(row["id"]) for row in home.values()}
    found: list[Known] = []
    for k, one in enumerate(chosen):
        if k in home:
            found.append(Known(str(home[k]["id"]), Tested.read(home[k], photos)))
        else:
            found.append(Known(_new_id(one, ids[k], names), None))
            names.add(found[-1].id)
    return found


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


def _looks(one: Candidate, row: Mapping[str, Any]) -> float:
    """Cosine of what two cues look like, for two cues that are seen in the very same samples; 0 where nothing says."""
    if not isinstance(one.cue, ConceptCue) or not row["cue"].get("prototypes"):
        return 0.0
    first, second = one.cue.prototypes[0], np.asarray(row["cue"]["prototypes"][0])
    length = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / length if first.shape == second.shape and length else 0.0


def _new_id(one: Candidate, ids: np.ndarray, names: Collection[str]) -> str:
    """`concept-0a1b2c3d`: kind, and a hash of the class, the samples and the subject. It is none of `names`."""
    cue = one.cue.to_json()
    words = repr((one.class_index, sorted(ids.tolist()), [cue.get(name) for name in SUBJECT]))
    while True:
        digest = hashlib.sha256(words.encode()).hexdigest()
        name, words = f"{one.kind}-{digest[:8]}", digest
        if name not in names:
            return name
