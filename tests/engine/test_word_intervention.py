"""A word that a model reads is proved, one that it ignores is not, and no other word is touched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import oracles
import pytest

from engine.interventions.words import remove_word, transplant_word, without_word

FILLERS = ["the", "film", "was", "quite", "long", "and", "loud", "but", "nobody", "left", "early"]


class Bag:
    """A model that counts one word; keeps what it was shown."""

    def __init__(self, word: str) -> None:
        self.word, self.shown = word, []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.shown.append(list(texts))
        p = np.array([0.95 if self.word in text.lower().split() else 0.1 for text in texts])
        return np.stack([1 - p, p], axis=1)


def texts(word: str | None, count: int = 12, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    found = []
    for k in range(count):
        words = rng.choice(FILLERS, 6, replace=False).tolist()
        if word is not None:
            words.insert(int(rng.integers(7)), word if k % 2 else word.title())
        found.append(" ".join(words))
    return found


@pytest.mark.parametrize("word", ["spielberg", "don't", "sci-fi"])
def test_removing_the_word_that_is_read_is_verified(word):
    model, given = Bag(word), texts(word)
    effect = remove_word(given, word, 1, model, np.random.default_rng(0))
    assert effect.verdict == "verified" and effect.n == 12
    assert effect.mean == pytest.approx(0.85) and effect.control_mean == 0
    assert effect.flips == 1 and effect.control_flips == 0
    before, after, control = model.shown
    assert before == given and after == [oracles.without(text, word) for text in given]
    for text, other in zip(given, control, strict=True):  # exactly one other word is gone
        assert other in {oracles.without(text, gone) for gone in text.lower().split() if gone != word}


@pytest.mark.parametrize("word", ["spielberg", "don't"])
def test_adding_the_word_that_is_read_is_verified(word):
    model, hosts, donors = Bag(word), texts(None, 9, seed=1), texts(word, 4)
    effect = transplant_word(donors, hosts, word, 1, model, np.random.default_rng(0))
    assert effect.verdict == "verified" and effect.n == 9 and effect.mean == pytest.approx(0.85)
    assert effect.flips == 1 and effect.control_flips == 0 and effect.control_mean == 0
    before, after, control = model.shown
    assert before == hosts and after == [f"{text} {word}" for text in hosts]
    for k, (text, other) in enumerate(zip(hosts, control, strict=True)):
        added = other.removeprefix(text + " ")
        assert added != word and added in donors[k % 4].lower().split()


def test_a_word_that_is_not_read_is_refuted():
    model = Bag("kubrick")
    given = [f"kubrick {text}" for text in texts("spielberg")]

    def reads_kubrick(some: Sequence[str]) -> np.ndarray:
        return model(some)

    removal = remove_word(given, "spielberg", 1, reads_kubrick, np.random.default_rng(0))
    assert removal.verdict == "refuted" and removal.mean == removal.flips == 0
    added = transplant_word(given, texts(None), "spielberg", 1, reads_kubrick, np.random.default_rng(0))
    assert added.verdict == "refuted" and added.mean == added.flips == 0


def test_texts_that_are_called_otherwise_do_not_flip():
    given = texts("spielberg")
    assert remove_word(given, "spielberg", 0, Bag("spielberg"), np.random.default_rng(0)).flips == 0
    assert remove_word(given, "spielberg", 1, Bag("absent"), np.random.default_rng(0)).flips == 0
    assert transplant_word(given, given, "spielberg", 1, Bag("spielberg"), np.random.default_rng(0)).flips == 0


def test_a_text_of_one_word_has_no_control():
    model = Bag("spielberg")
    effect = remove_word(["Spielberg", "spielberg spielberg"], "spielberg", 1, model, np.random.default_rng(0))
    assert model.shown[1] == ["", ""] and model.shown[2] == ["Spielberg", "spielberg spielberg"]
    assert effect.mean == pytest.approx(0.85) and effect.control_mean == 0
    transplant_word(["spielberg"], ["loud"], "spielberg", 1, model, np.random.default_rng(0))
    assert model.shown[-1] == ["loud"]


@pytest.mark.parametrize(
    ("text", "word", "expected"),
    [
        ("Free  tickets, free!", "free", "tickets, !"),
        ("freedom is not freefall", "free", "freedom is not freefall"),
        ("sugar-free and don't", "free", "sugar-free and don't"),
        ("I don't know Don", "don", "I don't know"),
        ("I don't know", "don't", "I know"),
        ("a (b) c", "b", "a ( ) c"),
        ("what  is   kept", "gone", "what  is   kept"),
        ("all of it", "", "all of it"),
        ("Größe zählt", "größe", "zählt"),
        ("", "x", ""),
    ],
)
def test_without_word(text, word, expected):
    assert without_word(text, word) == expected


def test_a_seed_gives_one_control():
    def shown(seed: int) -> list[str]:
        model = Bag("spielberg")
        remove_word(texts("spielberg"), "spielberg", 1, model, np.random.default_rng(seed))
        return model.shown[2]

    assert shown(0) == shown(0) != shown(1)
