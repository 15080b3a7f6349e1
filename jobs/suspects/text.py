"""Words of a text with the relevancy of the pieces that a tokenizer cut it into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.suspects.vocabulary import WORD


def words_of(pieces: Sequence[str], values: np.ndarray, text: str) -> list[tuple[str, float]]:
    """Words of a text, in lower case, each with the sum of its pieces' relevancies.

    The pieces are looked up in the text one after the other; what is no part of a word (punctuation, special tokens,
    which are '') is left out. A piece that the tokenizer changed beyond recognition counts as a word of its own.
    """
    lower = text.lower()
    spans = [(found.start(), found.end(), found.group()) for found in WORD.finditer(lower)]
    sums: dict[int, float] = {}
    strange: list[tuple[str, float]] = []
    cursor = current = 0
    for piece, value in zip(pieces, values.tolist(), strict=False):
        wanted = piece.strip().lower()
        if not wanted:
            continue
        place = lower.find(wanted, cursor)
        if place < 0:
            if WORD.search(wanted):
                strange.append((wanted, value))
            continue
        cursor = place + len(wanted)
        while current < len(spans) and spans[current][1] <= place:
            current += 1
        if current < len(spans) and spans[current][0] < cursor:
            sums[current] = sums.get(current, 0.0) + value
    return [(spans[k][2], total) for k, total in sums.items()] + strange
