"""Cues of words: what in the pictures goes with a word of the texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from engine.suspects.candidate import FEWEST, Candidate
from engine.suspects.cues import ConceptCue, PlaceCue, PropertyCue, WordedCue
from engine.suspects.detectors import DETECTORS
from engine.suspects.hosts import with_hosts
from engine.suspects.observations import Observations

KINDS = {"concept": "pair_cue", "location": "pair_place", "property": "pair_property"}
"""Detector -> kind of suspect."""
MOST_WORDS = 40
LARGEST_SHARE = 0.6  # of the texts: a word in more of them has no other pictures to be compared with
NO_CLASS = -1


def common_words(words: Sequence[Sequence[str]], shares: Sequence[np.ndarray], most: int = MOST_WORDS) -> list[str]:
    """Words that may carry scores: in enough texts, not in most of them, and read by the model.

    Args:
        words: words of each of N texts.
        shares: share of the text's relevancy on each.
        most: how many are returned, those with the largest sum of shares first.
    """
    texts, read = Counter[str](), Counter[str]()
    for own, values in zip(words, shares, strict=True):
        texts.update(set(own))
        for word, value in zip(own, values.tolist(), strict=True):
            read[word] += value
    known = [word for word, n in texts.items() if 2 * FEWEST <= n <= LARGEST_SHARE * len(words)]
    return sorted(known, key=lambda word: (-read[word], word))[:most]


def word_cues(
    seen: Observations, having: Iterable[tuple[str, np.ndarray]], kinds: Iterable[str], seed: int = 0
) -> list[Candidate]:
    """Candidates of the picture detectors for words, highest score first.

    Each word is a class of its own: the pictures whose text has it, against all others. Words that the very same texts
    have ("stock photo") are looked at once; the first stands for them.

    Args:
        seen: maps, patches and properties of N pictures.
        having: (word, [N] boolean: whether each text has it).
        kinds: of ``KINDS``' values.
        seed: of every random choice.
    """
    found: list[Candidate] = []
    for word, has in _distinct(having):
        alone = replace(seen, predicted=np.where(has, 0, 1).astype(np.int64), classes=1)
        for detector, kind in KINDS.items():
            if kind in kinds:
                rng = np.random.default_rng(seed)
                against = replace(alone, classes=2) if detector == "location" else alone  # it wants both means
                own = (one for one in DETECTORS[detector](against, rng) if one.class_index == 0)
                found += [_worded(one, kind, word) for one in with_hosts(alone, list(own))]
    return sorted(found, key=lambda one: -one.score)


def _worded(one: Candidate, kind: str, word: str) -> Candidate:
    assert isinstance(one.cue, ConceptCue | PlaceCue | PropertyCue)  # what detectors of pictures find
    return replace(one, kind=kind, class_index=NO_CLASS, cue=WordedCue(word, one.cue))


def _distinct(having: Iterable[tuple[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
    seen: set[bytes] = set()
    for word, has in having:
        key = np.packbits(has).tobytes()
        if key not in seen:
            seen.add(key)
            yield word, has


def chance_of_words(
    seen: Observations,
    having: Sequence[tuple[str, np.ndarray]],
    kinds: Sequence[str],
    seed: int,
    permutations: int,
    progress: Callable[[], None] | None = None,
) -> dict[str, list[np.ndarray]]:
    """Scores of the same search when texts are dealt out to other pictures: per kind one array per run, descending."""
    scores: dict[str, list[np.ndarray]] = {kind: [] for kind in kinds}
    for run in range(permutations):
        order = np.random.default_rng((seed, run)).permutation(len(seen))
        found = word_cues(seen, [(word, has[order]) for word, has in having], kinds, seed)
        for kind in kinds:
            scores[kind].append(np.array([one.score for one in found if one.kind == kind]))
        if progress is not None:
            progress()
    return scores
