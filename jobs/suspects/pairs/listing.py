"""The list of suspects of pairs: rows as the store keeps them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from engine.suspects import Candidate, PairCue, UnsupportedCue, WordCue, WordedCue
from jobs.suspects.listing import Listing, Row, rounded
from jobs.suspects.naming import cue_name
from jobs.suspects.pairs.gather import GatheredPairs
from jobs.suspects.pairs.judgement import is_flagged_pair

ALL, LOW = "all pairs", "low scores"
MOST_WORDS = 5


@dataclass
class PairListing(Listing):
    """Ranked candidates of a run of pairs with what is known of each."""

    pairs: GatheredPairs = field(kw_only=True)

    @property
    def uris(self) -> dict[int, str]:
        """The sample's name by its id."""
        return dict(zip(self.pairs.ids.tolist(), self.pairs.uris, strict=True))

    def _row(self, k: int) -> Row:
        one, tested = self.chosen[k], self.tested[k]
        status = "unverified" if tested is None else tested.status
        return {
            "id": self.known[k].id,
            "rank": 0,
            "kind": one.kind,
            "name": pair_name(one, self.pairs),
            "class_name": about(one),
            "class_index": one.class_index,
            "n": len(one.members),
            "share": len(one.members) / max(self._of_class(one), 1),
            "score": round(one.score, 6),
            "status": status,
            "flagged": is_flagged_pair(one, status, self.chance.highest(one.kind)),
            "evidence": self._facts(one, k),
            "cue": {**rounded(one.cue.to_json()), "boxes": {} if tested is None else tested.boxes},
            "sample_ids": self.pairs.ids[one.members].tolist(),
        }

    def _of_class(self, one: Candidate) -> int:
        """How many pairs the suspect's share is of: those with the word, or all."""
        if isinstance(one.cue, WordedCue):
            return int(self.pairs.having(one.cue.word).sum())
        return len(self.pairs)

    def _facts(self, one: Candidate, k: int) -> dict[str, Any]:
        tested = self.tested[k]
        facts = {
            **rounded(one.evidence),
            "unit": "1 = as far as the median pair lies above a shuffled one",
            "mean_score": round(float(self.pairs.scores[one.members].mean()), 5),
            "usual_score": round(float(self.pairs.scores.mean()), 5),
            "expected_by_chance": self.chance.expected(one.kind, one.association),
            "seen_as": [f"{about(other)}: {pair_name(other, self.pairs)}" for other in one.also],
            "elsewhere": len(one.elsewhere),
            "elsewhere_ids": self.pairs.ids[one.elsewhere[:200]].tolist(),
            "consequence": {},
            **({} if tested is None else tested.evidence()),
            **({} if self.words is None else {"words": [list(entry) for entry in self.words[k]]}),
        }
        if isinstance(one.cue, UnsupportedCue):
            facts["unsupported"] = {int(self.pairs.ids[row]): word for row, word in one.cue.words.items()}
        return facts


def about(one: Candidate) -> str:
    """What a suspect is about, in the place of a class: a word, or kinds of scores."""
    if isinstance(one.cue, WordedCue):
        return one.cue.word
    if isinstance(one.cue, WordCue):
        return "high scores" if one.evidence["side"] > 0 else LOW
    return ALL if isinstance(one.cue, PairCue | UnsupportedCue) else LOW


def pair_name(one: Candidate, pairs: GatheredPairs) -> str:
    """A few words for a suspect's cue."""
    cue = one.cue
    if isinstance(cue, PairCue):
        return "captions that fit other pictures"
    if isinstance(cue, UnsupportedCue):
        common = [word for word, _ in Counter(cue.words.values()).most_common(MOST_WORDS)]
        return f"captions with a word that lowers the score: {', '.join(common)}"
    if isinstance(cue, WordedCue):
        return cue_name(cue.cue, one.members, pairs.seen, pairs.tokens)
    if isinstance(cue, WordCue):
        return cue_name(cue, one.members, pairs.seen, pairs.tokens)
    return "alike patches that count against the score"
