"""Words that set the texts of a suspect's samples apart."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

from engine.suspects import telling_words

USUAL = ["a", "photo", "of", "the", "horse", "in", "field", "and", "sky", "old", "fence", "big"]


def captions(seed: int, inside: int = 40, outside: int = 200, share: float = 0.5) -> tuple[list[str], list[str]]:
    """Captions of random words; "copyright" in a share of those inside and in one of 20 outside."""
    rng = np.random.default_rng(seed)

    def some(count: int, rate: float) -> list[str]:
        found = []
        for _ in range(count):
            words = ["a", *rng.choice(USUAL, 4)]
            found.append(" ".join([*words, "copyright"] if rng.random() < rate else words))
        return found

    return some(inside, share), some(outside, 0.05)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.9])
def test_as_in_the_plain_writing(seed: int, share: float) -> None:
    inside, outside = captions(seed, share=share)
    assert telling_words(inside, outside, most=100) == oracles.telling_words(inside, outside)


def test_the_planted_word_is_named_with_its_shares_and_no_other() -> None:
    inside, outside = captions(0)
    ((word, share, other),) = telling_words(inside, outside)
    assert word == "copyright"
    assert share == sum("copyright" in text for text in inside) / 40
    assert other == sum("copyright" in text for text in outside) / 200


def test_by_chance_almost_nothing_is_named() -> None:
    """At most 5 % of such searches may name a word; half of that, as only words that are more common inside count."""
    assert sum(bool(telling_words(*captions(seed, share=0.05))) for seed in range(200)) <= 10


def test_a_word_counts_once_per_text_whatever_its_case_and_marks() -> None:
    inside = ["Snow! snow, SNOW"] * 6 + ["don't"] * 2
    assert telling_words(inside, ["grass"] * 20) == [("snow", 6 / 8, 0.0)]


def test_fewer_than_five_texts_say_nothing() -> None:
    assert telling_words(["snow"] * 4 + ["grass"] * 4, ["grass"] * 100) == []  # the word is in four
    assert telling_words(["snow"] * 4, ["grass"] * 100) == []
    assert telling_words(["snow"] * 100, ["grass"] * 4) == []
    assert telling_words([], []) == []
    assert telling_words(["snow"] * 5, ["grass"] * 100) == [("snow", 1.0, 0.0)]


def test_the_largest_differences_come_first_and_ties_by_name() -> None:
    inside = [f"w1 w2 w3 w4 w5 w6 {'w0' if k else ''}" for k in range(20)]
    found = telling_words(inside, ["x"] * 50)
    assert [word for word, *_ in found] == ["w1", "w2", "w3", "w4", "w5"]
    assert [word for word, *_ in telling_words(inside, ["x"] * 50, most=9)][-1] == "w0"
