"""What is wrong with pairs: swapped texts are told by how badly they fit, and cues of words are found where planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracles
import planted
import pytest

from engine.suspects import ConceptCue, Observations, PlaceCue, Property, PropertyCue, WordedCue
from engine.suspects.pairs import mismatch
from engine.suspects.pairs.cues import (
    KINDS,
    MOST_WORDS,
    chance_of_words,
    distinct_words,
    linked_cues,
    visible_words,
    word_cues,
)
from engine.suspects.pairs.mismatch import mismatch_probability, pair_fit, shuffled

ALL = tuple(KINDS.values())


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def vectors(count: int, swapped: float, seed: int = 0, noise: float = 1.2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures and texts of the same things, seen through noise, and which texts were dealt out among each other."""
    rng = np.random.default_rng(seed)
    things = rng.normal(size=(count, 24))
    images, texts = (unit(things + noise * rng.normal(size=things.shape)) for _ in range(2))
    wrong = np.zeros(count, bool)
    rows = rng.choice(count, round(swapped * count), replace=False)
    wrong[rows] = True
    texts[rows] = texts[np.roll(rows, 1)]
    return images, texts, wrong


# --- mismatch ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("reference", "chunk"), [(1000, 4096), (1000, 7), (12, 7)])
def test_fit_is_that_of_the_plain_writing(monkeypatch, seed: int, reference: int, chunk: int) -> None:
    """With equal texts, in pieces, and with a sample of the pairs to compare with."""
    monkeypatch.setattr(mismatch, "REFERENCE", reference)
    monkeypatch.setattr(mismatch, "CHUNK", chunk)
    images, texts, _ = vectors(30, 0.3, seed)
    group = np.random.default_rng(seed).integers(0, 18, 30)
    texts = texts[[np.flatnonzero(group == g)[0] for g in group]]  # equal texts
    assert len(set(group)) < 18
    fit, null = pair_fit(images, texts, group, np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    chosen = sorted(rng.choice(30, min(reference, 30), replace=False))
    partner = shuffled(group, rng)
    np.testing.assert_allclose(fit, oracles.pair_fit(images, texts, group, chosen, range(30)), atol=1e-12)
    np.testing.assert_allclose(null, oracles.pair_fit(images, texts, group, chosen, partner), atol=1e-12)
    assert fit.mean() > 0.6 and fit.std() > 0.05


def test_shuffled_pairs_fit_by_half() -> None:
    fit, null = pair_fit(*vectors(800, 0)[:2], np.arange(800), np.random.default_rng(0))
    assert abs(null.mean() - 0.5) < 0.03 and fit.mean() > 0.9


def test_equal_texts_never_count_against_each_other() -> None:
    """The right pictures of ten copies of a text fit it as well as each other: that is no fault of any of them."""
    images, texts, _ = vectors(60, 0)
    copies = np.arange(20)
    images[copies], texts[copies] = images[0] + 0.01 * images[copies], texts[0]
    images = unit(images)
    apart = np.arange(60)
    together = np.where(np.isin(apart, copies), 0, apart)
    fit, _ = pair_fit(images, texts, together, np.random.default_rng(0))
    without, _ = pair_fit(images, texts, apart, np.random.default_rng(0))
    assert fit[copies].min() > 0.9
    assert without[copies].min() < fit[copies].min() - 0.1, "else the groups would change nothing"


def test_partners_have_other_texts() -> None:
    for seed in range(20):
        group = np.random.default_rng(seed).integers(0, 6, 40)
        partner = shuffled(group, np.random.default_rng(seed))
        assert (group[partner] != group).all()
    alone = shuffled(np.zeros(7, int), np.random.default_rng(0))
    assert alone.shape == (7,) and set(alone) <= set(range(7))
    mostly = np.r_[np.zeros(95, int), np.arange(1, 6)]
    partner = shuffled(mostly, np.random.default_rng(0))
    assert (mostly[partner] != mostly).mean() > 0.5
    two = shuffled(np.arange(2), np.random.default_rng(3))
    assert two.tolist() == [1, 0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_the_share_of_swapped_pairs_is_estimated_and_they_are_told(share: float, seed: int) -> None:
    images, texts, wrong = vectors(1500, share, seed, noise=0.8)
    fit, null = pair_fit(images, texts, np.arange(1500), np.random.default_rng(seed))
    probability, estimate = mismatch_probability(fit, null)
    assert abs(estimate - share) < 0.04 and abs(probability.mean() - share) < 0.05
    listed = probability >= 0.5
    assert wrong[listed].mean() > 0.75 and wrong[~listed].mean() < share / 3
    assert abs(wrong[listed].mean() - probability[listed].mean()) < 0.15  # as often as it says
    assert wrong[np.argsort(fit, kind="stable")[:20]].mean() >= 0.9


def test_the_probability_falls_with_the_fit() -> None:
    fit, null = pair_fit(*vectors(500, 0.2)[:2], np.arange(500), np.random.default_rng(0))
    probability, share = mismatch_probability(fit, null)
    assert (np.diff(probability[np.argsort(fit)]) <= 1e-12).all()
    assert probability.min() >= 0 and probability.max() <= 1 and 0 < share < 1


def test_pairs_that_all_belong_and_pairs_of_chance() -> None:
    images, texts, _ = vectors(1000, 0, noise=0.5)
    probability, share = mismatch_probability(*pair_fit(images, texts, np.arange(1000), np.random.default_rng(0)))
    assert share < 0.01 and (probability >= 0.5).mean() < 0.005
    rng = np.random.default_rng(1)
    noise = [unit(rng.normal(size=(1000, 24))) for _ in range(2)]
    _, share = mismatch_probability(*pair_fit(*noise, np.arange(1000), np.random.default_rng(0)))
    assert share > 0.85


@pytest.mark.parametrize("count", [1, 2, 3])
def test_very_few_pairs(count: int) -> None:
    images, texts, _ = vectors(count, 0)
    fit, null = pair_fit(images, texts, np.arange(count), np.random.default_rng(0))
    probability, share = mismatch_probability(fit, null)
    for values in (fit, null, probability):
        assert values.shape == (count,) and np.isfinite(values).all() and (values >= 0).all() and (values <= 1).all()
    assert 0 <= share <= 1


def test_texts_that_are_all_equal_say_nothing() -> None:
    images, texts, _ = vectors(50, 0)
    fit, null = pair_fit(images, np.repeat(texts[:1], 50, axis=0), np.zeros(50, int), np.random.default_rng(0))
    probability, share = mismatch_probability(fit, null)
    assert share == 0 and not probability.any() and np.isfinite(fit).all() and np.isfinite(null).all()


# --- cues of words ----------------------------------------------------------------------------------------------------


def told_by(words: list[list[str]], seed: int = 0) -> np.ndarray:
    """Vectors of pictures with a direction of its own for "boat", a weaker one for "sea", and none for other words."""
    rng = np.random.default_rng(seed)
    images = 0.15 * rng.normal(size=(len(words), 24))
    for row, own in enumerate(words):
        images[row] += planted.axis(23) + ("boat" in own) * planted.axis(0) + 0.2 * ("sea" in own) * planted.axis(1)
    return unit(images)


def test_visible_words_are_those_that_pictures_tell() -> None:
    rng = np.random.default_rng(0)
    shares = {"boat": 0.3, "sea": 0.4, "nice": 0.4, "a": 0.9, "rare": 0.02}
    words = [[word for word, share in shares.items() if rng.random() < share] for _ in range(400)]
    images = told_by(words)
    found = visible_words(words, images, np.random.default_rng(0))
    assert found == ["boat", "sea"]  # "a" is in too many texts, "rare" in too few; nothing tells "nice"
    assert visible_words(words, images, np.random.default_rng(0), most=1) == ["boat"]
    assert visible_words([[*own, *own] for own in words], images, np.random.default_rng(0)) == found
    assert visible_words(words, rng.permutation(images), np.random.default_rng(0)) == []


def test_visible_words_of_texts_without_any() -> None:
    assert visible_words([], np.zeros((0, 24), np.float32), np.random.default_rng(0)) == []
    assert visible_words([[]] * 20, told_by([[]] * 20), np.random.default_rng(0)) == []
    many = [[f"word{k:03}", "boat"] if k < 60 else [] for k in range(120)]
    many = [[*own, *(f"also{k:03}" for k in range(60))] if own else own for own in many]
    found = visible_words(many, told_by(many), np.random.default_rng(0))
    assert len(found) == MOST_WORDS and not any(word.startswith("word") for word in found)


def having(rng: np.random.Generator, count: int = 120) -> dict[str, np.ndarray]:
    """Which texts have each word."""
    return {word: np.isin(np.arange(count), rng.choice(count, 40, replace=False)) for word in ("a", "stock", "sea")}


def with_mark(seed: int) -> tuple[Observations, dict[str, np.ndarray], np.ndarray]:
    """Patches of noise; a mark on 30 of the 40 pictures whose text has "stock", and on 4 others."""
    rng = np.random.default_rng(seed)
    seen, has = planted.photos(rng, np.zeros(120, np.int64)), having(rng)
    marked = np.sort(rng.choice(np.flatnonzero(has["stock"]), 30, replace=False))
    others = rng.choice(np.flatnonzero(~has["stock"]), 4, replace=False)
    planted.plant(rng, seen, rng.choice(120, 60, replace=False), planted.axis(1))  # goes with no word
    planted.plant(rng, seen, np.r_[marked, others], planted.axis(0))
    return seen, has, marked


def linked(seen: Observations, has: np.ndarray, word: str = "stock"):
    """Cues of a word in the maps of what speaks for it."""
    return linked_cues(word, replace(seen, predicted=np.where(has, 0, 1).astype(np.int64), classes=1))


@pytest.mark.parametrize("seed", range(3))
def test_a_mark_that_goes_with_a_word_is_found_first(seed: int) -> None:
    seen, has, marked = with_mark(seed)
    first, *others = linked(seen, has["stock"])
    assert first.kind == "pair_cue" and first.class_index == -1
    assert isinstance(first.cue, WordedCue) and first.cue.word == "stock" and isinstance(first.cue.cue, ConceptCue)
    assert sorted(first.members) == marked.tolist() and 4 <= len(first.elsewhere) <= 5
    assert not has["stock"][first.elsewhere].any() and first.evidence["purity"] == 30 / (30 + len(first.elsewhere))
    direction = first.cue.cue.prototypes[0]
    assert direction @ planted.axis(0) / np.linalg.norm(direction) > 0.9
    assert first.score > 1.5 * max((other.score for other in others), default=0)
    assert [c.score for c in others] == sorted((c.score for c in others), reverse=True)
    assert first.cue.to_json()["word"] == "stock" and "host_likeness" in first.evidence and first.testable


@pytest.mark.parametrize("seed", range(3))
def test_a_mark_lies_far_above_other_words_and_above_chance(seed: int) -> None:
    seen, has, _ = with_mark(seed)
    best = linked(seen, has["stock"])[0].score
    dealt = [np.random.default_rng(run).permutation(has["stock"]) for run in range(5)]
    for other in (has["a"], has["sea"], ~has["stock"], *dealt):
        assert max((one.score for one in linked(seen, other)), default=0) < best / 1.5
    assert all(has["stock"][one.members].all() for one in linked(seen, has["stock"]))


def with_place(seed: int = 0) -> tuple[Observations, dict[str, np.ndarray], np.ndarray]:
    """Maps that are about even, but look at a corner where the text has "sea"."""
    rng = np.random.default_rng(seed)
    has, cells = having(rng), np.array([10, 11, 14, 15])
    seen = planted.maps(rng, np.zeros(120, np.int64), (4, 4), noise=1.0)
    planted.look(seen, np.flatnonzero(has["sea"]), cells)
    return seen, has, cells


@pytest.mark.parametrize("seed", range(3))
def test_chance_lies_below(seed: int) -> None:
    seen, has, _ = with_place(seed)
    brightness = np.random.default_rng(seed).normal(size=120)
    seen = replace(seen, properties={"brightness": Property(brightness)})
    best, calls = word_cues(seen, has.items(), ALL)[0].score, []
    chance = chance_of_words(seen, list(has.items()), ALL, 0, 5, lambda: calls.append(1))
    assert len(calls) == 5 and set(chance) == set(ALL) and all(len(runs) == 5 for runs in chance.values())
    assert sum(len(run) for runs in chance.values() for run in runs) > 0
    assert max(float(run.max(initial=0)) for runs in chance.values() for run in runs) < best / 1.5
    for runs in chance.values():
        assert all((np.diff(run) <= 0).all() for run in runs)
    again = chance_of_words(seen, list(has.items()), ALL, 0, 5)
    assert all((one == other).all() for kind in ALL for one, other in zip(chance[kind], again[kind], strict=True))


def test_words_of_the_same_texts_are_looked_at_once() -> None:
    """Also where texts are dealt out to other pictures: whole texts are, not words."""
    seen, has, _ = with_place()
    twice = [("sea", has["sea"]), ("shore", has["sea"].copy()), ("a", has["a"])]
    assert [word for word, _ in distinct_words(twice)] == ["sea", "a"]
    assert {one.cue.word for one in word_cues(seen, twice[:2], ALL)} == {"sea"}
    assert {one.cue.word for one in word_cues(seen, twice[1:2], ALL)} == {"shore"}
    properties = {"brightness": Property(np.random.default_rng(0).normal(size=120))}
    seen = replace(seen, properties=properties)
    one = chance_of_words(seen, twice, ALL, 0, 3)
    other = chance_of_words(seen, [twice[0], twice[2]], ALL, 0, 3)
    assert sum(len(run) for runs in one.values() for run in runs) > 0
    for kind in ALL:
        for found, expected in zip(one[kind], other[kind], strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("seed", range(3))
def test_a_place_that_goes_with_a_word_is_found_first(seed: int) -> None:
    seen, has, cells = with_place(seed)
    first, *_ = word_cues(seen, has.items(), ALL)
    assert first.kind == "pair_place" and first.class_index == -1
    assert first.cue.word == "sea" and isinstance(first.cue.cue, PlaceCue)
    assert np.flatnonzero(first.cue.cue.cells).tolist() == cells.tolist()
    assert sorted(first.members) == np.flatnonzero(has["sea"]).tolist() and first.testable


def test_a_property_that_goes_with_a_word_is_found_first() -> None:
    rng = np.random.default_rng(0)
    has = having(rng)
    values = np.where(has["a"], 0.8, 0.4) + 0.05 * rng.normal(size=120)
    seen = Observations(np.zeros(120, np.int64), 1, properties={"warmth": Property(values, measured=True)})
    first, *_ = word_cues(seen, has.items(), ALL)
    assert first.kind == "pair_property" and first.cue.word == "a" and isinstance(first.cue.cue, PropertyCue)
    assert first.cue.cue.name == "warmth" and 0.45 < first.cue.cue.low < 0.8 and first.cue.cue.high is None
    assert first.testable
    unmeasured = replace(seen, properties={"warmth": Property(values)})
    assert not word_cues(unmeasured, has.items(), ALL)[0].testable


def test_only_the_kinds_that_are_asked_for() -> None:
    seen, has, _ = with_place()
    values = np.where(has["a"], 0.8, 0.4) + 0.05 * np.random.default_rng(0).normal(size=120)
    both = replace(seen, properties={"warmth": Property(values)})
    assert {one.kind for one in word_cues(both, has.items(), ALL)} == set(ALL)
    for kind in ALL:
        assert {one.kind for one in word_cues(both, has.items(), [kind])} == {kind}
    assert word_cues(both, has.items(), []) == []
    assert set(chance_of_words(both, [], ["pair_place"], 0, 2)) == {"pair_place"}


def test_nothing_is_found_where_nothing_is_known() -> None:
    bare, has = Observations(np.zeros(120, np.int64), 1), having(np.random.default_rng(0))
    assert word_cues(bare, has.items(), ALL) == [] and linked(bare, has["sea"]) == []
    seen, *_ = with_place()
    nowhere, everywhere = np.zeros(120, bool), np.ones(120, bool)
    marked, *_ = with_mark(0)
    assert word_cues(seen, [("never", nowhere)], ALL) == [] and linked(marked, nowhere) == []
    assert all(one.score == 0 for one in [*word_cues(seen, [("always", everywhere)], ALL), *linked(marked, everywhere)])
    chance = chance_of_words(bare, list(has.items()), ALL, 0, 2)
    assert all(len(run) == 0 for runs in chance.values() for run in runs)
    none = Observations(np.zeros(0, np.int64), 0)
    assert word_cues(none, [("a", nowhere[:0])], ALL) == [] and linked(none, nowhere[:0]) == []
