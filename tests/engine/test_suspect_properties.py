"""Properties of whole samples: planted tails and categories are found, the rest is left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracles
import planted
import pytest

from engine.suspects import Observations, Property, PropertyCue, chance_of, detect


def properties(seen: Observations):
    return detect(seen, 0, ["property"])


def observed(predicted: np.ndarray, **values) -> Observations:
    return Observations(predicted, int(predicted.max(initial=0)) + 1, properties=values)


def shifted(seed: int, by: float, sign: int = 1, without: int = 0) -> tuple[Observations, np.ndarray]:
    """A number that is higher (or lower) in 18 of 30 samples of class 2, and one that is the same everywhere."""
    rng = np.random.default_rng(seed)
    predicted = planted.predictions(rng, without=without)
    values, rows = rng.normal(size=len(predicted)), rng.choice(np.flatnonzero(predicted == 2), 18, replace=False)
    values[rows] = sign * (by + rng.random(18))
    noise = Property(rng.normal(size=len(predicted)))
    return observed(predicted, tint=Property(values, measured=True), noise=noise), rows


@pytest.mark.parametrize("sign", [1, -1])
def test_planted_tail_is_first_and_exact(sign):
    seen, rows = shifted(0, 5, sign)
    first, *others = properties(seen)
    assert (first.class_index, first.cue.name, first.cue.measured) == (2, "tint", True)
    assert set(first.members) == set(rows) and len(first.elsewhere) == 0
    values = seen.properties["tint"].values
    assert sorted(first.members, key=lambda n: -sign * values[n]) == first.members.tolist()  # the outermost first
    if sign > 0:
        assert first.cue.high is None and np.sort(values)[-19] < first.cue.low <= values[rows].min()
    else:
        assert first.cue.low is None and values[rows].max() <= first.cue.high < np.sort(values)[18]
    np.testing.assert_array_equal(first.strength, sign * values[first.members])
    assert first.score > 2 * max(other.score for other in others)


@pytest.mark.parametrize("seed", range(4))
def test_tails_are_those_of_the_plain_writing(seed):
    seen, _ = shifted(seed, [0, 0.5, 1, 2][seed], without=8)
    found = {(c.cue.name, c.class_index): c for c in properties(seen)}
    for name, one in seen.properties.items():
        for number in range(4):
            plain = oracles.best_tail(one.values.tolist(), seen.predicted, number)
            got = found.pop((name, number), None)
            assert (got is None) == (plain["score"] == 0)
            if got is None:
                continue
            assert got.score == pytest.approx(plain["score"], rel=1e-9)
            assert getattr(got.cue, plain["side"]) == pytest.approx(plain["cut"])
            assert sorted(got.members) == plain["members"] and got.elsewhere.tolist() == plain["elsewhere"]
    assert not found


def test_planted_category_is_found():
    rng = np.random.default_rng(1)
    predicted = planted.predictions(rng)
    values = rng.integers(0, 3, 120)
    rows, others = np.flatnonzero(predicted == 3)[:22], np.flatnonzero(predicted == 0)[:3]
    values[np.r_[rows, others]] = 3
    values[np.flatnonzero(predicted == 1)[:9]] = -1  # unknown: no category
    seen = observed(predicted, camera=Property(values, ("a", "b", "c", "d")))
    first = properties(seen)[0]
    assert first.class_index == 3 and first.cue == PropertyCue("camera", category="d")
    assert sorted(first.members) == rows.tolist() and first.elsewhere.tolist() == others.tolist()
    plain = oracles.holding((values == 3).tolist(), predicted, 3)
    assert first.score == pytest.approx(plain["score"]) and first.evidence["purity"] == 22 / 25
    assert first.cue.to_json() == {
        "property": "camera", "low": None, "high": None, "category": "d", "measured": False,
    }  # fmt: skip


def test_permuted_predictions_give_much_less():
    seen, _ = shifted(0, 5)
    best = properties(seen)[0].score
    chance = chance_of(seen, permutations=5, kinds=["property"])
    assert 0 < chance.highest("property") < best / 2
    assert chance.expected("property", best) == 0 < chance.expected("property", 1e-9)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_unknown_values_are_as_if_the_samples_were_not_there(value):
    seen, rows = shifted(0, 5)
    values = seen.properties["tint"].values.copy()
    others = np.setdiff1d(np.arange(120), rows)[:34]
    values[rows[:6]] = values[others] = value
    first = properties(replace(seen, properties={"tint": Property(values)}))[0]
    assert set(first.members) == set(rows[6:]) and len(first.elsewhere) == 0
    here = np.isin(np.arange(120), rows[6:]).tolist()
    assert first.score == pytest.approx(oracles.holding(here, seen.predicted, 2)["score"])


@pytest.mark.filterwarnings("error")
def test_what_says_nothing_is_left_alone():
    rng = np.random.default_rng(0)
    predicted = planted.predictions(rng)
    silent = {
        "nothing": Property(np.full(120, np.nan)),
        "constant": Property(np.ones(120)),
        "identifier": Property(predicted, tuple(map(str, range(51)))),
        "no category": Property(np.full(120, -1), ("a", "b")),
    }
    assert properties(observed(predicted, **silent)) == []
    assert len(properties(observed(predicted, column=Property(predicted, tuple(map(str, range(50))))))) == 4
    seen, _ = shifted(0, 5)
    for same in (np.zeros(120, int), np.full(120, -1), np.r_[np.full(20, -1), np.zeros(100, int)]):
        assert properties(replace(seen, predicted=same)) == []
    assert properties(observed(np.zeros(0, int), tint=Property(np.zeros(0)))) == []


def test_a_category_per_class_of_few_samples_is_not_told():
    """Four samples are too few, five are enough."""
    predicted = np.r_[np.zeros(10, int), np.ones(30, int)]
    for count in (4, 5):
        values = np.where(np.arange(40) < count, 1, 0)
        found = properties(observed(predicted, mark=Property(values, ("no", "yes"))))
        assert [c.cue.category for c in found if c.class_index == 0] == (["yes"] if count == 5 else [])


def test_rows_can_be_taken():
    one = Property(np.array([1.0, 2.0, 3.0]), measured=True).taken(np.array([2, 0]))
    assert one.values.tolist() == [3.0, 1.0] and one.measured
