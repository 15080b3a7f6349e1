"""Detector `word`: words that the model reads when it predicts one class."""

from __future__ import annotations

import numpy as np

from engine.suspects.candidate import FEWEST, Candidate, adjusted_purity, reach
from engine.suspects.cues import WordCue
from engine.suspects.observations import NONE, Observations

NOTICED = 0.5  # times an even share of the text's relevancy: below, the model did not look at the word


def detect_words(seen: Observations, rng: np.random.Generator) -> list[Candidate]:
    """Propose each word that is noticed in the texts of one class more often than chance would have it."""
    if seen.words is None or not len(seen.words.rows):
        return []
    words = seen.words
    lengths = np.bincount(words.rows, minlength=len(seen))
    noticed = words.shares * lengths[words.rows] >= NOTICED
    rows, numbers, shares = words.rows[noticed], words.words[noticed], words.shares[noticed]
    order = np.argsort(numbers, kind="stable")
    rows, numbers, shares = rows[order], numbers[order], shares[order]
    edges = np.searchsorted(numbers, np.arange(len(words.vocabulary) + 1))
    sizes = np.bincount(seen.predicted[seen.predicted != NONE], minlength=seen.classes)
    found: list[Candidate] = []
    for word, name in enumerate(words.vocabulary):
        here = slice(edges[word], edges[word + 1])
        if here.stop - here.start >= FEWEST:
            found += _of_word(seen, name, rows[here], shares[here], sizes)
    return found


def _of_word(seen: Observations, word: str, rows: np.ndarray, shares: np.ndarray, sizes: np.ndarray) -> list[Candidate]:
    """The candidate of one word for the class that it goes with most."""
    classes = seen.predicted[rows]
    counts = np.bincount(classes[classes != NONE], minlength=seen.classes)
    total, known = sizes.sum(), counts.sum()
    if not known:
        return []
    purities = np.array([adjusted_purity(n, known - n, size / total) for n, size in zip(counts, sizes, strict=True)])
    number = int(purities.argmax())
    own = classes == number
    if own.sum() < FEWEST or purities[number] <= 0:
        return []
    order = np.argsort(-shares[own], kind="stable")
    share = float(shares[own].mean())
    score = purities[number] * np.sqrt(share) * reach(int(own.sum()), int(sizes[number]))
    return [
        Candidate(
            kind="word",
            class_index=number,
            members=rows[own][order],
            strength=shares[own][order],
            elsewhere=rows[~own & (classes != NONE)],
            score=float(score),
            cue=WordCue(word),
            evidence={
                "purity": float(own.sum() / known),
                "adjusted_purity": float(purities[number]),
                "relevancy_share": share,
                "coverage": float(own.sum() / sizes[number]),
            },
        )
    ]
