"""Removal and transplant of a word in texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from engine.interventions.effect import Effect, effect_of

WORD = re.compile(r"\w+(?:['’-]\w+)*")  # "don't" is one word, and no place where "don" occurs

ScoreTexts = Callable[[Sequence[str]], np.ndarray]
"""Texts -> class probabilities [B, C]."""


def remove_word(texts: Sequence[str], word: str, number: int, score: ScoreTexts, rng: np.random.Generator) -> Effect:
    """Fall of p(class) when a word is taken out, against taking out another word of the same text."""
    controls = [without_word(text, _other_word(text, word, rng)) for text in texts]
    before, after, control = score(texts), score([without_word(text, word) for text in texts]), score(controls)
    said = before.argmax(axis=1) == number
    return effect_of(
        before[:, number] - after[:, number],
        before[:, number] - control[:, number],
        said & (after.argmax(axis=1) != number),
        said & (control.argmax(axis=1) != number),
    )


def transplant_word(
    donors: Sequence[str],
    hosts: Sequence[str],
    word: str,
    number: int,
    score: ScoreTexts,
    rng: np.random.Generator,
) -> Effect:
    """Rise of p(class) when a word is added to texts that are predicted otherwise, against adding another word of a
    donor's text."""
    others = [_other_word(donors[k % len(donors)], word, rng) for k in range(len(hosts))]
    before = score(hosts)
    after = score([f"{text} {word}" for text in hosts])
    control = score([f"{text} {other}".rstrip() for text, other in zip(hosts, others, strict=True)])
    foreign = before.argmax(axis=1) != number
    return effect_of(
        after[:, number] - before[:, number],
        control[:, number] - before[:, number],
        foreign & (after.argmax(axis=1) == number),
        foreign & (control.argmax(axis=1) == number),
    )


def without_word(text: str, word: str) -> str:
    """The text without any occurrence of a word, whatever its case; as it is where the word is '' or absent."""
    if not word:
        return text
    found = WORD.sub(lambda other: " " if other.group().lower() == word.lower() else other.group(), text)
    return text if found == text else " ".join(found.split())


def without_span(text: str, span: tuple[int, int]) -> str:
    """The text without the characters [start, end), and without double white space."""
    return " ".join((text[: span[0]] + text[span[1] :]).split())


def _other_word(text: str, word: str, rng: np.random.Generator) -> str:
    """Another word of the text, chosen at random; '' when it has none."""
    words = [other for other in dict.fromkeys(WORD.findall(text.lower())) if other != word.lower()]
    return str(rng.choice(words)) if words else ""
