"""Which suspects there are among the pairs of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from torch import Tensor

from engine import Explanation
from engine.suspects import NONE, Candidate, Chance, Observations, relevancy_shares
from engine.suspects.concept import PATCHES
from engine.suspects.pairs.cues import (
    KINDS,
    LINKED,
    chance_of_words,
    distinct_words,
    linked_cues,
    visible_words,
    word_cues,
)
from engine.suspects.pairs.marks import LOW, mark_candidates
from engine.suspects.pairs.mismatch import PROBABLE, mismatch_candidate, mismatch_probability, pair_fit
from engine.suspects.pairs.words import score_words, unsupported_candidate
from jobs.suspects.pairs.gather import GatheredPairs
from jobs.suspects.pairs.subject import PairSubject

Progress = Callable[[str, int, int], None]
LOOKED_AT = 500  # pairs with low scores whose maps are made anew, and as many others
STRONG = 0.1  # score from which a mark explains why a pair fits badly
LINKED_WORDS = 10  # that cues are looked for, the best told from the pictures first
LINKED_PAIRS = 100  # with each of them, and as many without, whose maps are made anew
READ = 200  # pairs whose words are taken out one by one
CHANCE_PAIRS = 2000  # that a search on shuffled texts looks at


class PairSearch:
    """Looks for suspects of the given kinds; `subject` is the model with its data, None when it may not be asked."""

    def __init__(
        self, gathered: GatheredPairs, subject: PairSubject | None, kinds: Sequence[str], seed: int, progress: Progress
    ) -> None:
        self.gathered = gathered
        self.subject = subject
        self.kinds = kinds
        self.seed = seed
        self.progress = progress
        self.fit, self.null = pair_fit(gathered.images, gathered.texts_at, gathered.group, np.random.default_rng(seed))
        self.mismatched = mismatch_probability(self.fit, self.null)[0] >= PROBABLE
        self.links: dict[str, Observations] = {}

    def candidates(self) -> list[Candidate]:
        """All candidates, highest score first."""
        gathered = self.gathered
        found: list[Candidate] = []
        if self.subject is not None and "pair_mark" in self.kinds:
            found += self._marks(self.subject)
        if "pair_mismatch" in self.kinds:
            marked = [one.members for one in found if one.score >= STRONG]
            held_down = np.concatenate(marked) if marked else np.zeros(0, np.int64)
            one = mismatch_candidate(self.fit, self.null, without=held_down)
            found += [] if one is None else [one]
        if "pair_word" in self.kinds:
            found += score_words(gathered.texts, gathered.words, gathered.word_shares, gathered.scores)
        if self._cue_kinds:
            found += word_cues(gathered.seen, self._having, self._cue_kinds, self.seed)
        if self.subject is not None and LINKED in self.kinds:
            found += self._linked(self.subject)
        if self.subject is not None and "pair_unsupported" in self.kinds:
            found += self._unsupported(self.subject)
        return sorted(found, key=lambda one: -one.score)

    def chance(self, permutations: int) -> Chance:
        """The scores of cues when texts are dealt out to other pictures."""
        rows, rng = np.arange(len(self.gathered)), np.random.default_rng(self.seed)
        if len(rows) > CHANCE_PAIRS:
            rows = np.sort(rng.choice(rows, CHANCE_PAIRS, replace=False))
        done = iter(range(1, permutations + 1))
        scores = chance_of_words(
            self.gathered.seen.taken(rows),
            [(word, has[rows]) for word, has in self._having] if self._cue_kinds else [],
            self._cue_kinds,
            self.seed,
            permutations,
            lambda: self.progress("chance", next(done), permutations),
        )
        if self.links:
            scores[LINKED] = [self._linked_by_chance(run) for run in range(permutations)]
        return Chance(scores, permutations)

    @property
    def _cue_kinds(self) -> list[str]:
        return [kind for kind in KINDS.values() if kind in self.kinds]

    @cached_property
    def _having(self) -> list[tuple[str, np.ndarray]]:
        """The words that pictures tell, and which texts have them."""
        words = visible_words(self.gathered.words, self.gathered.images, np.random.default_rng(self.seed))
        return [(word, self.gathered.having(word)) for word in words]

    def _linked(self, subject: PairSubject) -> list[Candidate]:
        """Cues of the words that pictures tell best: the maps of each are made first."""
        found: list[Candidate] = []
        words = distinct_words(self._having)[:LINKED_WORDS]
        for done, (word, has) in enumerate(words):
            self.progress("linking words", done, len(words))
            rng = np.random.default_rng(self.seed)
            sides = [np.flatnonzero(side & ~self.mismatched) for side in (has, ~has)]
            chosen = [rng.choice(side, min(len(side), LINKED_PAIRS), replace=False) for side in sides]
            rows, seen = self._observed(
                subject,
                np.sort(np.concatenate(chosen)),
                lambda images, texts, word=word: subject.linked(images, texts, word, PATCHES),  # type: ignore[misc]
            )
            if seen is None:
                continue
            self.links[word] = replace(seen, predicted=np.where(has[rows], 0, 1).astype(np.int64))
            own = linked_cues(word, self.links[word], self.seed)
            found += [replace(one, members=rows[one.members], elsewhere=rows[one.elsewhere]) for one in own]
        self.progress("linking words", len(words), len(words))
        return found

    def _linked_by_chance(self, run: int) -> np.ndarray:
        """Scores of the same search when the words are dealt out to other pictures, descending."""
        scores = []
        for word, seen in self.links.items():
            shuffled = seen.permuted(np.random.default_rng((self.seed, run)))
            scores += [one.score for one in linked_cues(word, shuffled, self.seed)]
        return -np.sort(-np.array(scores))

    def _low(self) -> np.ndarray:
        """Rows of the pairs that belong together and yet fit badly, the worst first."""
        order = np.argsort(self.fit, kind="stable")
        return order[~self.mismatched[order]][: max(1, round(LOW * len(order)))]

    def _marks(self, subject: PairSubject) -> list[Candidate]:
        """Marks in pictures with low scores: their maps of what counts against the score are made first."""
        low, rng = self._low()[:LOOKED_AT], np.random.default_rng(self.seed)
        others = np.setdiff1d(np.flatnonzero(~self.mismatched), self._low())
        others = rng.choice(others, min(len(others), LOOKED_AT), replace=False)
        mismatched = np.flatnonzero(self.mismatched)[:LOOKED_AT]
        rows, against = self._observed(
            subject,
            np.sort(np.concatenate([low, others, mismatched])),
            lambda images, texts: subject.against(images, texts, PATCHES),
            "looking at what holds scores down",
        )
        if against is None:
            return []
        sides = np.where(np.isin(rows, mismatched), NONE, np.where(np.isin(rows, low), 0, 1))
        found = mark_candidates(against, sides, self.seed)
        return [replace(one, members=rows[one.members]) for one in found]

    def _observed(
        self,
        subject: PairSubject,
        chosen: np.ndarray,
        explain: Callable[[Tensor, list[str]], Explanation],
        step: str | None = None,
    ) -> tuple[np.ndarray, Observations | None]:
        """Maps and patches of pairs as `explain` makes them, and the rows that could be read."""
        size = subject.material.batch_size
        rows: list[np.ndarray] = []
        parts: dict[str, list[np.ndarray]] = {"shares": [], "patches": [], "tokens": [], "rest": []}
        grid = None
        for start in range(0, len(chosen), size):
            if step is not None:
                self.progress(step, start, len(chosen))
            kept, images = subject.images(chosen[start : start + size])
            if not len(kept):
                continue
            found = explain(images, [self.gathered.texts[row] for row in kept])
            assert found.patches is not None
            rows.append(kept)
            grid = found.grid
            parts["shares"].append(relevancy_shares(found.relevancy["image"].float().cpu().numpy()))
            parts["patches"].append(found.patches.states.float().cpu().numpy())
            parts["tokens"].append(found.patches.tokens.cpu().numpy())
            parts["rest"].append(found.patches.rest.float().cpu().numpy())
        if step is not None:
            self.progress(step, len(chosen), len(chosen))
        if not rows:
            return np.zeros(0, np.int64), None
        shares, tokens = np.concatenate(parts["shares"]), np.concatenate(parts["tokens"])
        seen = Observations(
            np.zeros(len(shares), np.int64),
            1,
            shares=shares,
            grid=grid,
            patches=np.concatenate(parts["patches"]),
            patch_shares=np.take_along_axis(shares, tokens, axis=1),
            rest=np.concatenate(parts["rest"]),
        )
        return np.concatenate(rows), seen

    def _unsupported(self, subject: PairSubject) -> list[Candidate]:
        """Words that the score rises without, in the pairs that fit worst."""
        rows = self._low()[:READ]
        words, rises = [], []
        for done, row in enumerate(rows.tolist()):
            self.progress("taking words out", done, len(rows))
            own, values = subject.rises(row)
            words.append(own)
            rises.append(values)
        self.progress("taking words out", len(rows), len(rows))
        one = unsupported_candidate(rows, words, rises, len(self.gathered))
        return [] if one is None else [one]
