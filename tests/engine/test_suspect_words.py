"""Words that a model reads: planted ones are found, unread ones are not."""

from __future__ import annotations

import numpy as np
import oracles
import planted
import pytest

from engine.suspects import Observations, WordCue, chance_of, detect, word_entries

FILLERS = ["the", "film", "was", "quite", "long", "and", "loud"]


def texts(seed: int = 0, noticed: float = 2.0, without: int = 0):
    """ "Spielberg" in 14 of 25 texts of class 1 and in 2 of class 0; other words in any."""
    rng = np.random.default_rng(seed)
    predicted = planted.predictions(rng, 3, 25, without)
    rows, others = (rng.choice(np.flatnonzero(predicted == k), n, replace=False) for k, n in ((1, 14), (0, 2)))
    read = [
        [(str(one), float(rng.random())) for one in rng.choice(FILLERS, 5, replace=False)]
        + ([("spielberg", noticed + float(rng.random()))] if n in rows or n in others else [])
        for n in range(len(predicted))
    ]
    return predicted, read, rows, others


def words(predicted: np.ndarray, read):
    return detect(Observations(predicted, 3, words=word_entries(read)), 0, ["word"])


@pytest.mark.parametrize("seed", range(3))
def test_planted_word_is_first_and_exact(seed):
    predicted, read, rows, others = texts(seed)
    first, *rest = words(predicted, read)
    assert first.cue == WordCue("spielberg") and first.cue.to_json() == {"word": "spielberg"}
    assert first.class_index == 1 and set(first.members) == set(rows) and set(first.elsewhere) == set(others)
    assert (np.diff(first.strength) <= 0).all()
    assert first.evidence["purity"] == 14 / 16 and first.evidence["coverage"] == 14 / 25
    assert first.score > 2 * max(c.score for c in rest)


@pytest.mark.parametrize("seed", range(3))
def test_numbers_are_those_of_the_plain_writing(seed):
    predicted, read, *_ = texts(seed, without=6)
    found = words(predicted, read)
    assert len(found) > 2
    for one in found:
        plain = [oracles.word(read, predicted, one.cue.word, number) for number in range(3)]
        expected = max(plain, key=lambda of_class: of_class["purity"])
        assert plain.index(expected) == one.class_index
        assert one.members.tolist() == expected["members"] and one.elsewhere.tolist() == expected["elsewhere"]
        assert one.score == pytest.approx(expected["score"], rel=1e-5)


def test_a_word_that_is_not_read_is_no_suspect():
    predicted, read, *_ = texts(noticed=2.0)
    unread = [[(word, 0.01 if word == "spielberg" else value) for word, value in text] for text in read]
    assert "spielberg" in {c.cue.word for c in words(predicted, read)}
    assert "spielberg" not in {c.cue.word for c in words(predicted, unread)}


def test_permuted_predictions_give_much_less():
    predicted, read, *_ = texts()
    seen = Observations(predicted, 3, words=word_entries(read))
    best = detect(seen, 0, ["word"])[0].score
    chance = chance_of(seen, permutations=5, kinds=["word"])
    assert 0 < chance.highest("word") < best / 1.5 and chance.expected("word", best) == 0


def test_entries_add_up_equal_words():
    found = word_entries([[("a", 1.0), ("b", 2.0), ("a", 1.0), ("c", -3.0)], [], [("c", 0.0)], [("b", 5.0)]])
    assert found.vocabulary == ("a", "b", "c")
    assert found.rows.tolist() == [0, 0, 0, 2, 3] and found.words.tolist() == [0, 1, 2, 2, 1]
    assert found.shares.tolist() == [0.5, 0.5, 0, 0, 1]


def test_a_text_without_numbers_spoils_no_other():
    predicted, read, rows, _ = texts()
    read[rows[0]] = [(word, np.nan) for word, _ in read[rows[0]]]
    first = words(predicted, read)[0]
    assert set(first.members) == set(rows[1:]) and np.isfinite(first.score)


@pytest.mark.filterwarnings("error")
def test_without_what_it_takes_nothing_is_found():
    predicted, read, *_ = texts()
    assert words(np.zeros_like(predicted), read) == []  # one class: nothing is told from anything
    assert words(np.full_like(predicted, -1), read) == []
    assert words(predicted, [[] for _ in read]) == []
    assert words(predicted[:0], []) == []
    assert detect(Observations(np.full(75, -1), 0, words=word_entries(read)), 0, ["word"]) == []
    assert detect(Observations(predicted, 3), 0, ["word"]) == []
