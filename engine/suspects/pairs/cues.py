"""Cues of words: what in the pictures goes with a word of the texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from sklearn.metrics import roc_auc_score

from engine.suspects.candidate import FEWEST, Candidate, same_photos
from engine.suspects.concept import detect_concepts, joined
from engine.suspects.cues import ConceptCue, PlaceCue, PropertyCue, WordedCue
from engine.suspects.detectors import DETECTORS
from engine.suspects.hosts import with_hosts
from engine.suspects.observations import Observations

KINDS = {"location": "pair_place", "property": "pair_property"}
"""Detector -> kind of suspect, of those that look at what is stored of the scores."""
LINKED = "pair_cue"
"""Kind of suspects that are found in maps made for the word (:func:`linked_cues`)."""
MOST_WORDS = 40
MOST_TRIED = 400  # the most frequent words
PART = 0.3  # of the strongest group's score that a part of the same cue has at least
TOLD = 0.6  # area under the ROC curve: below, the pictures do not say whether the text has the word
LARGEST_SHARE = 0.6  # of the texts: a word in more of them has no other pictures to be compared with
NO_CLASS = -1


def visible_words(
    words: Sequence[Sequence[str]], images: np.ndarray, rng: np.random.Generator, most: int = MOST_WORDS
) -> list[str]:
    """Words that can be told from the picture: those that something in the pictures goes with.

    A word is told by the projection on the difference of the mean unit vectors of pictures with and without it, found
    on one half of the pairs and measured on the other, both ways (area under the ROC curve).

    Args:
        words: words of each of N texts.
        images: unit vectors of the pictures, [N, D].
        rng: halves the pairs.
        most: how many are returned, the best told first.
    """
    texts = Counter(word for own in words for word in set(own))
    known = sorted(word for word, n in texts.items() if 2 * FEWEST <= n <= LARGEST_SHARE * len(words))
    known = sorted(known, key=lambda word: -texts[word])[:MOST_TRIED]
    half = rng.permutation(len(words)) % 2 == 0
    told = {}
    for word in known:
        has = np.array([word in own for own in words], bool)
        told[word] = (_told(has, images, half) + _told(has, images, ~half)) / 2
    return [word for word in sorted(known, key=lambda word: -told[word]) if told[word] >= TOLD][:most]


def _told(has: np.ndarray, images: np.ndarray, half: np.ndarray) -> float:
    """Area under the ROC curve of a word on the pairs outside `half`, its direction being found inside; 0.5 where a
    side is empty."""
    if min((has & half).sum(), (~has & half).sum(), (has & ~half).sum(), (~has & ~half).sum()) == 0:
        return 0.5
    direction = images[has & half].mean(axis=0) - images[~has & half].mean(axis=0)
    return float(roc_auc_score(has[~half], images[~half] @ direction))


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
    for word, has in distinct_words(having):
        alone = replace(seen, predicted=np.where(has, 0, 1).astype(np.int64), classes=1)
        for detector, kind in KINDS.items():
            if kind in kinds:
                rng = np.random.default_rng(seed)
                against = replace(alone, classes=2) if detector == "location" else alone  # it wants both means
                own = (one for one in DETECTORS[detector](against, rng) if one.class_index == 0)
                found += [_worded(one, kind, word) for one in with_hosts(alone, list(own), among_all=True)]
    return sorted(found, key=lambda one: -one.score)


def linked_cues(word: str, seen: Observations, seed: int = 0) -> list[Candidate]:
    """Alike patches that a word is linked to, in pictures whose text has the word, highest score first.

    Groups of patches that look different but are seen in the same pictures are parts of one cue (the letters of a
    watermark on the sky and on the grass), unless they score far less than the strongest.

    Args:
        word: the word.
        seen: maps and patches of what speaks for the word in N pictures: of the change of their score with their text
            when the word is taken out of it, or put into it where it is not. ``predicted`` is 0 for the pictures whose
            text has the word, 1 for others, and ``classes`` is 1.
        seed: of every random choice.
    """
    found = sorted(detect_concepts(seen, np.random.default_rng(seed)), key=lambda one: -one.score)
    return [_worded(one, LINKED, word) for one in with_hosts(seen, joined(found, _is_part), among_all=True)]


def _is_part(one: Candidate, of: Candidate) -> bool:
    return one.score >= PART * of.score and same_photos(one, of)


def _worded(one: Candidate, kind: str, word: str) -> Candidate:
    assert isinstance(one.cue, ConceptCue | PlaceCue | PropertyCue)  # what detectors of pictures find
    return replace(one, kind=kind, class_index=NO_CLASS, cue=WordedCue(word, one.cue))


def distinct_words(having: Iterable[tuple[str, np.ndarray]]) -> list[tuple[str, np.ndarray]]:
    """(word, [N] boolean) without words that the very same texts have as an earlier one."""
    first: dict[bytes, tuple[str, np.ndarray]] = {}
    for word, has in having:
        first.setdefault(np.packbits(has).tobytes(), (word, has))
    return list(first.values())


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
