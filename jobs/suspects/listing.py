"""The list of suspects: rows as the store keeps them, in the order that people see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.suspects import Candidate, Chance, consequences
from jobs.suspects.captions import Telling
from jobs.suspects.gather import Gathered
from jobs.suspects.judgement import is_flagged
from jobs.suspects.known import Known
from jobs.suspects.naming import name_of
from jobs.suspects.proof import Proof
from jobs.suspects.tested import Tested

MOST_ELSEWHERE = 200  # samples of other classes that are named one by one
ORDER = {"verified": 1, "unverified": 2, "refuted": 3}
Row = dict[str, Any]


@dataclass
class Listing(ABC):
    """Ranked candidates with what is known of each; `tested` grows while they are tested.

    `words` are what the texts of each one's samples say, None where there are no texts.
    """

    chosen: Sequence[Candidate]
    known: Sequence[Known]
    chance: Chance
    words: Sequence[Telling] | None = None

    def __post_init__(self) -> None:
        """Begin with what earlier searches have tested."""
        self.tested: list[Tested | None] = [known.tested for known in self.known]

    @property
    def waiting(self) -> list[int]:
        """Candidates that nobody has tested yet."""
        return [k for k, tested in enumerate(self.tested) if tested is None]

    def test(
        self,
        prove: Callable[[Candidate], Proof],
        photos: int,
        keep: Callable[[list[Row]], None],
        progress: Callable[[str, int, int], None],
    ) -> None:
        """Test every suspect that nobody has tested, and `keep` the rows after each."""
        waiting = self.waiting
        for done, k in enumerate(waiting):
            progress("testing", done, len(waiting))
            self.tested[k] = Tested.of(prove(self.chosen[k]), photos)
            keep(self.rows())
        progress("testing", len(waiting), len(waiting))

    def rows(self) -> list[Row]:
        """The rows of the table: flagged before verified before undecided before refuted, then by score."""
        rows = [self._row(k) for k in range(len(self.chosen))]
        rows.sort(key=lambda row: (0 if row["flagged"] else ORDER[row["status"]], -row["score"]))
        return [{**row, "rank": rank} for rank, row in enumerate(rows, 1)]

    @abstractmethod
    def _row(self, k: int) -> Row:
        """One row, without its rank."""

    @property
    @abstractmethod
    def uris(self) -> dict[int, str]:
        """The sample's name by its id."""

    def chance_summary(self) -> Row:
        """How many suspects chance alone would give with as high a score as those that are listed."""
        kinds = {
            kind: {
                "highest_score": self.chance.highest(kind),
                "candidates": float(np.mean([len(run) for run in runs])) if runs else 0.0,
            }
            for kind, runs in self.chance.scores.items()
        }
        lowest = {kind: min((c.association for c in self.chosen if c.kind == kind), default=None) for kind in kinds}
        expected = sum(self.chance.expected(kind, low) for kind, low in lowest.items() if low is not None)
        return {"permutations": self.chance.permutations, "expected_suspects": expected, "kinds": kinds}


@dataclass
class ClassListing(Listing):
    """Suspects of predicted classes."""

    gathered: Gathered = field(kw_only=True)

    @property
    def uris(self) -> dict[int, str]:
        """The sample's name by its id."""
        return dict(zip(self.gathered.ids.tolist(), self.gathered.uris, strict=True))

    def _row(self, k: int) -> Row:
        one, gathered, tested = self.chosen[k], self.gathered, self.tested[k]
        status = "unverified" if tested is None else tested.status
        consequence = consequences(gathered.seen, one, gathered.labels)
        called = consequence.get("called", {"k": 0, "n": 0})
        return {
            "id": self.known[k].id,
            "rank": 0,
            "kind": one.kind,
            "name": name_of(one, gathered),
            "class_name": gathered.class_names[one.class_index],
            "class_index": one.class_index,
            "n": len(one.members),
            "share": len(one.members) / max(len(gathered.seen.of_class(one.class_index)), 1),
            "score": round(one.score, 6),
            "status": status,
            "flagged": is_flagged(
                one,
                status,
                None if tested is None else tested.on_object,
                (called["k"], called["n"]),
                self.chance.highest(one.kind),
            ),
            "evidence": {
                **self._evidence(one, tested),
                **({} if self.words is None else {"words": [list(entry) for entry in self.words[k]]}),
                "consequence": consequence,
            },
            "cue": {**rounded(one.cue.to_json()), "boxes": {} if tested is None else tested.boxes},
            "sample_ids": gathered.ids[one.members].tolist(),
        }

    def _evidence(self, one: Candidate, tested: Tested | None) -> Row:
        return {
            **rounded(one.evidence),
            "expected_by_chance": self.chance.expected(one.kind, one.association),
            "seen_as": [name_of(other, self.gathered) for other in one.also],
            "elsewhere": len(one.elsewhere),
            "elsewhere_ids": self.gathered.ids[one.elsewhere[:MOST_ELSEWHERE]].tolist(),
            **({} if tested is None else tested.evidence()),
        }


def rounded(value: Any) -> Any:
    """Numbers with no more digits than they need."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 5) if isinstance(value, float) else value
