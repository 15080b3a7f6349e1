"""Which suspect comes first, what it costs, and what chance would give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracles
import planted
import pytest

from engine import EngineError
from engine.suspects import (
    DETECTORS,
    Candidate,
    Chance,
    Observations,
    Property,
    PropertyCue,
    WordCue,
    chance_of,
    consequences,
    detect,
    ranked,
    word_entries,
)
from engine.suspects.consequence import wilson
from engine.suspects.ranking import same_view

CUES = {"property": PropertyCue("tint", low=1.0, measured=True)}


def candidate(score: float, members, kind: str = "concept", number: int = 0, elsewhere=(), cue=None) -> Candidate:
    rows = np.array(members)
    cue = cue or CUES.get(kind, WordCue("x"))
    return Candidate(kind, number, rows, np.ones(len(rows)), np.array(elsewhere, np.int64), score, cue)


# -- order --------------------------------------------------------------------------------------------


def test_photos_that_are_accounted_for_count_a_quarter():
    frame, part = candidate(0.4, range(20)), candidate(0.2, range(10))
    half, other = candidate(0.18, range(10, 30), number=0), candidate(0.1, range(10), number=1)
    found = ranked([part, other, frame, half])
    assert [c.members.tolist() for c in found] == [c.members.tolist() for c in (frame, half, other, part)]
    assert [c.score for c in found] == pytest.approx([0.4, 0.18 * (1 - 0.75 * 0.5), 0.1, 0.05])
    assert part.score == 0.2  # the candidate that was given is as it was


@pytest.mark.parametrize("seed", range(5))
def test_order_is_that_of_the_plain_writing(seed):
    rng = np.random.default_rng(seed)
    some = [
        candidate(float(rng.random()), rng.choice(40, rng.integers(5, 20), replace=False), number=int(rng.integers(3)))
        for _ in range(25)
    ]
    expected = oracles.queue([c.score for c in some], [set(c.members) for c in some], [c.class_index for c in some])
    found = ranked(some)
    order = [next(k for k, c in enumerate(some) if c.members is one.members) for one in found]
    assert order == [k for k, _ in expected]
    assert [one.score for one in found] == pytest.approx([score for _, score in expected])
    assert [c.score for c in ranked(some, 4)] == [c.score for c in found[:4]]


@pytest.mark.parametrize(("shared", "listed"), [(8, 1), (6, 2)])
def test_another_view_of_the_same_photos_is_kept_with_the_suspect(shared, listed):
    """8 of 10 and 10 photos are shared: Jaccard 8 / 12. 6: 6 / 14, less than a half."""
    mark = candidate(0.4, range(10))
    place = candidate(0.3, range(10 - shared, 20 - shared), "location")
    found = ranked([mark, place])
    assert len(found) == listed and found[0].kind == "concept"
    assert [c.kind for c in found[0].also] == (["location"] if listed == 1 else [])


def test_only_other_views_of_the_same_class_are_the_same():
    mark = candidate(0.4, range(10))
    assert same_view(mark, candidate(0.3, range(10), "property"))
    assert not same_view(mark, candidate(0.3, range(10), "property", number=1))
    assert not same_view(mark, candidate(0.3, range(10)))  # two marks on the same photos are two
    one, other = (candidate(0.3, range(10), "property", cue=PropertyCue(name, low=0.0)) for name in ("width", "height"))
    assert same_view(one, other)  # two properties of the same photos are one


def test_views_are_found_beyond_the_last_suspect():
    found = ranked([candidate(0.4, range(10)), candidate(0.3, range(20, 30)), candidate(0.2, range(10), "location")], 1)
    assert len(found) == 1 and [c.kind for c in found[0].also] == ["location"]


def test_what_nobody_can_test_waits():
    given = candidate(0.3, range(10), "property", cue=PropertyCue("camera", category="a"))
    assert not given.testable and candidate(0.1, range(10), "property").testable and candidate(0.1, range(10)).testable
    found = ranked([given, candidate(0.2, range(20, 30))])
    assert [c.score for c in found] == [0.2, 0.15]


def test_top():
    some = [candidate(0.1 * k, range(10 * k, 10 * k + 10)) for k in range(1, 5)]
    assert ranked(some, 0) == [] and ranked([]) == []
    assert [c.score for c in ranked(some, 2)] == [c.score for c in ranked(some)[:2]]
    assert len(ranked(some, 99)) == len(ranked(some)) == 4


# -- detectors together -------------------------------------------------------------------------------


def everything(seed: int = 0) -> Observations:
    rng = np.random.default_rng(seed)
    seen = planted.photos(rng, planted.predictions(rng))
    planted.plant(rng, seen, planted.some_of(rng, seen, 2, 18), planted.axis(0))
    looked = planted.maps(rng, seen.predicted, (7, 7))
    planted.look(looked, planted.some_of(rng, seen, 1, 20), np.array([40, 41, 47, 48]))
    values = rng.normal(size=120) + 2 * (seen.predicted == 3)
    return replace(seen, shares=looked.shares, grid=looked.grid, properties={"tint": Property(values)})


def test_all_detectors_take_part_and_sort_by_score():
    seen = everything()
    found = detect(seen)
    assert {c.kind for c in found} == {"concept", "location", "property"}
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
    assert all(0 <= c.score <= 1 and "host_likeness" in c.evidence for c in found)
    assert [c.score for c in detect(seen, kinds=["location"])] == [c.score for c in found if c.kind == "location"]
    assert all("host_likeness" not in c.evidence for c in detect(replace(seen, rest=None)))
    assert detect(seen, kinds=[]) == []


def test_unknown_detector_is_named():
    with pytest.raises(EngineError, match="unknown detector 'concpt'; did you mean 'concept'"):
        detect(everything(), kinds=["concpt"])
    assert list(DETECTORS) == ["concept", "location", "property", "word"]


def test_samples_without_a_prediction_are_in_nothing():
    seen = everything()
    predicted = seen.predicted.copy()
    predicted[::5] = -1
    found = detect(replace(seen, predicted=predicted))
    assert found
    for one in found:
        assert (predicted[one.members] == one.class_index).all()
        assert (predicted[one.elsewhere] >= 0).all() and (predicted[one.elsewhere] != one.class_index).all()


# -- chance -------------------------------------------------------------------------------------------


def test_permutations_keep_the_counts_and_the_unknown():
    seen = everything()
    predicted = seen.predicted.copy()
    predicted[:15] = -1
    seen = replace(seen, predicted=predicted)
    dealt = seen.permuted(np.random.default_rng(0)).predicted
    assert (dealt[:15] == -1).all() and (np.sort(dealt) == np.sort(predicted)).all() and (dealt != predicted).any()
    assert (seen.predicted == predicted).all()


def test_a_seed_gives_one_chance():
    seen, kinds = everything(), ["property", "location"]
    first, again, other = (chance_of(seen, seed, permutations=2, kinds=kinds) for seed in (0, 0, 1))
    for run, same in zip(first.scores["property"], again.scores["property"], strict=True):
        np.testing.assert_array_equal(run, same)
    assert [run.tolist() for run in first.scores["property"]] != [run.tolist() for run in other.scores["property"]]
    assert not np.array_equal(*first.scores["property"])  # every permutation is another one
    assert set(first.scores) == set(kinds)


def test_expected_and_highest_by_hand():
    chance = Chance({"word": [np.array([0.5, 0.2, 0.1]), np.array([]), np.array([0.3])]}, 3)
    for score in (0.0, 0.1, 0.2, 0.25, 0.5, 0.6):
        plain = sum(other >= score for run in chance.scores["word"] for other in run) / 3
        assert chance.expected("word", score) == pytest.approx(plain)
    assert chance.expected("word", 0.2) == 1 and chance.highest("word") == 0.5
    assert chance.expected("concept", 0.0) == chance.highest("concept") == 0
    assert chance_of(everything(), permutations=0).highest("property") == 0


# -- consequence --------------------------------------------------------------------------------------


def test_consequences_by_hand():
    """Class 0. Rows 0..5 are called it and show the cue; 6, 7 are called it without; 8, 9 show it and are not."""
    seen = Observations(np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]), 2)
    labels = np.array([0, 0, 0, 1, 1, -1, 0, 1, 0, 1, 0, 1])
    told = consequences(seen, candidate(0.5, range(6), elsewhere=[8, 9]), labels)
    counts = {name: (share["k"], share["n"]) for name, share in told.items()}
    assert counts == {
        "accuracy_with": (3, 4),  # rows 0 1 2 8
        "accuracy_without": (1, 2),  # rows 6 10
        "called": (2, 3),  # rows 3 4 9
        "called_without": (1, 2),  # rows 7 11
        "leaning": (3, 4),  # rows 0 1 2 6
    }
    assert told["called"]["value"] == pytest.approx(2 / 3)
    assert (told["called"]["low"], told["called"]["high"]) == wilson(2, 3)


def test_consequences_without_labels():
    seen = Observations(np.zeros(6, int), 1)
    assert consequences(seen, candidate(0.5, range(5)), np.full(6, -1)) == {}
    told = consequences(seen, candidate(0.5, range(5)), np.zeros(6, int))
    assert told["called"] == {"k": 0, "n": 0, "value": None, "low": None, "high": None}


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 10), (3, 10), (10, 10), (17, 400), (1, 3)])
def test_wilson_interval(k, n):
    assert wilson(k, n) == pytest.approx(oracles.wilson(k, n), abs=1e-9)
    assert 0 <= wilson(k, n)[0] <= k / n <= wilson(k, n)[1] <= 1


# -- some of the samples ------------------------------------------------------------------------------


def test_some_samples_are_as_if_the_others_were_not_there():
    seen, rows = everything(), np.arange(0, 120, 2)
    read = [[("a", 1.0), (f"w{n}", 2.0)] if n % 3 else [] for n in range(120)]
    some = replace(seen, words=word_entries(read)).taken(rows)
    assert len(some) == 60 and some.predicted.tolist() == [seen.predicted[n] for n in rows]
    for name in ("shares", "patches", "patch_shares", "rest"):
        np.testing.assert_array_equal(getattr(some, name), [getattr(seen, name)[n] for n in rows])
    assert some.properties["tint"].values.tolist() == [seen.properties["tint"].values[n] for n in rows]
    entries = zip(some.words.rows, some.words.words, some.words.shares, strict=True)
    assert [(row, some.words.vocabulary[one], share) for row, one, share in entries] == [
        (k, word, pytest.approx(value / 3)) for k, n in enumerate(rows) for word, value in read[n]
    ]
    assert len(seen.taken(np.zeros(0, np.int64))) == 0 and seen.taken(rows).words is None
    assert len(replace(seen, words=word_entries(read)).taken(np.zeros(0, np.int64)).words.rows) == 0


def test_what_is_kept_follows_its_arrays():
    """A copy with other patches must not be searched in the directions of the first."""
    seen, other = everything(0), everything(1)
    first = detect(seen, kinds=["concept"])
    mixed = replace(seen, predicted=other.predicted, patches=other.patches, patch_shares=other.patch_shares)
    mixed = replace(mixed, rest=other.rest)
    for got, expected in ((mixed, detect(other, kinds=["concept"])), (seen, first)):
        found = detect(got, kinds=["concept"])
        assert [(c.score, c.members.tolist(), c.evidence) for c in found] == [
            (c.score, c.members.tolist(), c.evidence) for c in expected
        ]
