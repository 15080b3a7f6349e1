"""Words that go with high or with low scores, and words that nothing in the picture supports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.suspects.candidate import FEWEST, Candidate, reach
from engine.suspects.cues import UnsupportedCue, WordCue
from engine.suspects.vocabulary import telling_words

KIND = "pair_word"
UNSUPPORTED = "pair_unsupported"
TENTH = 0.1  # of the pairs, from the top or from the bottom
SIDES = {"high": 1, "low": -1}
RISE = 0.1  # of the unit: by so much the score must rise without a word for the word to be called unsupported


def score_words(
    texts: Sequence[str], words: Sequence[Sequence[str]], shares: Sequence[np.ndarray], scores: np.ndarray
) -> list[Candidate]:
    """Words that more texts of the top (or bottom) tenth of the scores have than other texts, strongest first.

    Args:
        texts: N texts.
        words, shares: words of each text in lower case, and the share of its relevancy on each.
        scores: [N].

    ``evidence["side"]`` is 1 for high scores, -1 for low ones.
    """
    found = []
    tenth = max(FEWEST, round(TENTH * len(texts)))
    order = np.argsort(-scores, kind="stable")
    for side in SIDES.values():
        inside = order[:tenth] if side > 0 else order[len(order) - tenth :]
        outside = np.setdiff1d(order, inside)
        telling = telling_words([texts[k] for k in inside], [texts[k] for k in outside])
        for word, share, other in telling:
            members, strength = _members(word, words, shares)
            if len(members) >= FEWEST:
                found.append(_candidate(word, side, share, other, members, strength, len(texts)))
    return sorted(found, key=lambda one: -one.score)


def _members(word: str, words: Sequence[Sequence[str]], shares: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the texts that have a word, and the share of their relevancy on it; the largest first."""
    rows = [row for row, own in enumerate(words) if word in own]
    strength = np.array([float(shares[row][words[row].index(word)]) for row in rows])
    order = np.argsort(-strength, kind="stable")
    return np.array(rows, np.int64)[order], strength[order]


def _candidate(
    word: str, side: int, share: float, other: float, members: np.ndarray, strength: np.ndarray, count: int
) -> Candidate:
    return Candidate(
        kind=KIND,
        class_index=-1,
        members=members,
        strength=strength,
        elsewhere=np.zeros(0, np.int64),
        score=float((share - other) * np.sqrt(strength.mean()) * reach(len(members), count)),
        cue=WordCue(word),
        evidence={
            "side": float(side),
            "share_inside": share,
            "share_outside": other,
            "relevancy_share": float(strength.mean()),
        },
    )


def unsupported_candidate(
    rows: np.ndarray, words: Sequence[Sequence[str]], rises: Sequence[np.ndarray], count: int
) -> Candidate | None:
    """Pairs whose score rises when one of their words is taken out, the largest rise first; None where there are few.

    Args:
        rows: pairs that were looked at, [R].
        words: their words.
        rises: rise of the score without each word, as a share of how far the median pair lies above a shuffled one.
        count: pairs of the whole run.
    """
    best = np.array([values.max(initial=-np.inf) for values in rises])
    chosen = np.flatnonzero(best >= RISE)
    if len(chosen) < FEWEST:
        return None
    chosen = chosen[np.argsort(-best[chosen], kind="stable")]
    own = {int(rows[k]): words[k][int(np.argmax(rises[k]))] for k in chosen.tolist()}
    return Candidate(
        kind=UNSUPPORTED,
        class_index=-1,
        members=rows[chosen],
        strength=best[chosen],
        elsewhere=np.zeros(0, np.int64),
        score=float(min(best[chosen].mean(), 1.0) * reach(len(chosen), count)) / 2,  # a view, not yet a fault
        cue=UnsupportedCue(own),
        evidence={"rise": float(best[chosen].mean())},
    )
