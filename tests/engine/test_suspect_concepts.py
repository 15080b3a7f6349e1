"""Groups of alike patches: planted ones are found exactly, and every number is that of a plain writing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracles
import planted
import pytest

from engine.suspects import ConceptCue, Observations, chance_of, detect, ranked
from engine.suspects.candidate import adjusted_purity, reach
from engine.suspects.cues import REACH
from engine.suspects.hosts import cohesion


def concepts(seen: Observations, seed: int = 0):
    return detect(seen, seed, ["concept"])


def with_mark(seed: int = 0):
    """A mark on 18 of 30 photos of class 2 and on 2 of class 0; an honest part in half of all photos."""
    rng = np.random.default_rng(seed)
    seen = planted.photos(rng, planted.predictions(rng))
    planted.plant(rng, seen, rng.choice(120, 60, replace=False), planted.axis(1))
    marked, elsewhere = planted.some_of(rng, seen, 2, 18), planted.some_of(rng, seen, 0, 2)
    planted.plant(rng, seen, np.r_[marked, elsewhere], planted.axis(0))
    return seen, marked, elsewhere


def assert_same(one, other):
    assert (one.kind, one.class_index, one.score, one.evidence) == (
        other.kind, other.class_index, other.score, other.evidence,
    )  # fmt: skip
    for name in ("members", "strength", "elsewhere"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.cue.to_json() == other.cue.to_json()


@pytest.mark.parametrize("seed", range(3))
def test_planted_mark_is_first_and_exact(seed):
    seen, marked, elsewhere = with_mark(seed)
    first, *others = concepts(seen)
    assert first.class_index == 2 and sorted(first.members) == marked.tolist()
    assert sorted(first.elsewhere) == elsewhere.tolist()
    assert (np.diff(first.strength) <= 0).all() and len(first.strength) == 18
    assert first.score > 2 * max(other.score for other in others)  # the honest part is there, and far below
    assert first.evidence["purity"] == 18 / 20 and first.evidence["coverage"] == 18 / 30


def test_strongest_first():
    """The clearer a mark, the nearer it is to what all marks have in common."""
    rng = np.random.default_rng(0)
    seen = planted.photos(rng, planted.predictions(rng))
    rows = planted.some_of(rng, seen, 1, 12)
    for row, noise in zip(rows, np.linspace(0.02, 0.3, 12), strict=True):
        planted.plant(rng, seen, np.array([row]), planted.axis(0), noise)
    members = concepts(seen)[0].members
    assert sorted(members) == rows.tolist()
    assert set(members[:4]) <= set(rows[:6]) and set(members[-4:]) <= set(rows[6:])


@pytest.mark.parametrize("seed", range(3))
def test_all_candidates_are_those_of_the_plain_writing(seed):
    rng = np.random.default_rng(seed)
    seen = planted.photos(rng, planted.predictions(rng, 3, 14, without=6), patches=2)
    for number, count in ((0, 10), (1, 8), (2, 12)):
        for cue in rng.choice(4, 2, replace=False):
            rows = planted.some_of(rng, seen, number, count)
            planted.plant(rng, seen, rows, planted.axis(cue) + 0.4 * planted.axis(5), noise=0.35)
    found = concepts(seen)
    expected = {
        n: oracles.concepts(seen.patches.astype(float), seen.patch_shares, seen.rest.astype(float), seen.predicted, n)
        for n in range(3)
    }
    assert sum(len(groups) for groups in expected.values()) >= 4
    for number, groups in expected.items():
        means = np.concatenate([c.cue.prototypes for c in found if c.class_index == number])
        order = [int(np.abs(means - group["mean"]).sum(axis=1).argmin()) for group in groups]
        assert sorted(order) == list(range(len(means)))  # the same partition: each mean once
        np.testing.assert_allclose(means[order], [group["mean"] for group in groups], atol=1e-5)
    for one in found:
        groups = expected[one.class_index]
        group = min(groups, key=lambda g: np.abs(g["mean"] - one.cue.prototypes[0]).sum())
        assert (one.members.tolist(), one.elsewhere.tolist()) == (group["members"], group["elsewhere"])
        assert one.score == pytest.approx(group["score"], abs=1e-5)
    assert not np.isin(np.concatenate([c.elsewhere for c in found]), np.flatnonzero(seen.predicted == -1)).any()


def test_two_marks_of_one_class_are_two():
    rng = np.random.default_rng(1)
    seen = planted.photos(rng, planted.predictions(rng))
    half = rng.permutation(seen.of_class(3))
    planted.plant(rng, seen, half[:14], planted.axis(0))
    planted.plant(rng, seen, half[14:26], planted.axis(1))
    first, second = concepts(seen)[:2]
    assert {frozenset(first.members), frozenset(second.members)} == {frozenset(half[:14]), frozenset(half[14:26])}


@pytest.mark.parametrize("together", [True, False])
def test_parts_of_one_mark_are_joined(together):
    """Two looks that are alike, though too little for one cluster, are one cue where they are seen together."""
    rng = np.random.default_rng(2)
    seen = planted.photos(rng, planted.predictions(rng, each=40))
    other = 0.6 * planted.axis(0) + 0.8 * planted.axis(1)
    rows = rng.permutation(seen.of_class(1))
    for slot, part, cue in ((0, rows[:15], planted.axis(0)), (1, rows[:15] if together else rows[15:30], other)):
        noise = 0.3 * rng.normal(size=(15, planted.WIDTH))
        seen.patches[part, slot] = 3 * planted.axis(23) + 2 * cue + noise
    found = [c for c in concepts(seen) if c.class_index == 1]
    assert [len(c.cue.prototypes) for c in found] == ([2] if together else [1, 1])


def test_the_cue_finds_its_cells_again():
    seen, *_ = with_mark()
    cue = concepts(seen)[0].cue
    rng = np.random.default_rng(9)
    picture = planted.photos(rng, np.zeros(1, int), patches=30).patches
    foreign = planted.photos(rng, np.zeros(20, int), patches=30).patches
    picture[0, [3, 17]] = 3 * planted.axis(23) + 2 * planted.axis(0) + 0.2 * rng.normal(size=(2, 24))
    found = cue.likeness(picture)[0] >= cue.reach(foreign)
    assert np.flatnonzero(found).tolist() == [3, 17]


def test_likeness_and_its_reach_by_hand():
    cue = ConceptCue(np.array([[1.0, 0.0], [0.0, 0.5]]), np.zeros(2), 0.5)
    states = np.array([[2.0, 0.0], [0.0, 9.0], [-1.0, 0.0], [0.0, 0.0], [3.0, -4.0], [np.nan, 1.0]])
    np.testing.assert_allclose(cue.likeness(states), [1.0, 0.5, 0.0, 0.0, 0.6, 0.0], atol=1e-6)  # the nearest counts

    def pictures(alike):  # of cells that are that much like the first cluster
        return np.array([[[x, -np.sqrt(1 - x * x)] for x in alike]])

    assert cue.reach(np.zeros((0, 4, 2))) == REACH * 0.5 == 0.3
    assert cue.reach(pictures(np.linspace(0, 0.2, 101))) == 0.3
    assert cue.reach(pictures(np.linspace(0, 0.45, 101))) == pytest.approx(0.98 * 0.45)  # much is a little alike
    assert cue.reach(pictures(np.linspace(0, 0.9, 101))) == 0.5  # never more than makes a patch count


def test_permuted_predictions_give_much_less():
    seen, *_ = with_mark()
    best = concepts(seen)[0].score
    calls = []
    chance = chance_of(seen, 0, permutations=3, kinds=["concept"], progress=lambda: calls.append(1))
    assert len(calls) == chance.permutations == len(chance.scores["concept"]) == 3
    assert all(len(run) and (np.diff(run) <= 0).all() for run in chance.scores["concept"])  # there was what to find
    assert 0 < chance.highest("concept") < best / 2
    assert chance.expected("concept", best) == 0
    assert chance.expected("concept", 0.0) == np.mean([len(run) for run in chance.scores["concept"]])


def test_a_seed_gives_one_result():
    """Also where only some photos of a large class are clustered: all of them are looked at."""
    rng = np.random.default_rng(3)
    seen = planted.photos(rng, planted.predictions(rng, 2, 700), patches=1)
    marked = planted.some_of(rng, seen, 0, 300)
    planted.plant(rng, seen, marked, planted.axis(0))
    first, again, other = concepts(seen, 1)[0], concepts(seen, 1)[0], concepts(seen, 2)[0]
    assert_same(first, again)
    assert first.cue.to_json() != other.cue.to_json()  # other photos were clustered
    assert sorted(first.members) == sorted(other.members) == marked.tolist()


def test_purity_among_very_many_is_estimated():
    """Of more than 20,000 photos of other classes a part is looked at, and weighed accordingly."""
    rng = np.random.default_rng(4)
    predicted = np.r_[np.zeros(100, int), np.ones(25_000, int)]
    seen = planted.photos(rng, predicted, patches=1)
    planted.plant(rng, seen, np.r_[0:60, 100:140], planted.axis(0))
    one = next(c for c in concepts(seen) if c.class_index == 0)
    assert sorted(one.members) == list(range(60))
    assert 20 < len(set(one.elsewhere) & set(range(100, 140))) < 40  # about 20,000 / 25,000 of them
    assert one.evidence["purity"] == pytest.approx(60 / (60 + 1.25 * len(one.elsewhere)))
    expected = oracles.kappa(60, 1.25 * len(one.elsewhere), 100 / 25_100)
    assert one.evidence["adjusted_purity"] == pytest.approx(expected)


# -- bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_states_that_are_no_numbers_stay_alone(value):
    """A sample with such states is like one without any: nothing else changes by a bit."""
    seen, marked, _ = with_mark()
    for field, part in (("patches", 0.0), ("rest", 0.0), ("patch_shares", 0.0)):
        rows = marked[:2]
        broken, absent = getattr(seen, field).copy(), getattr(seen, field).copy()
        broken[rows], absent[rows] = (value if field != "patch_shares" else np.nan), part
        got, expected = concepts(replace(seen, **{field: broken})), concepts(replace(seen, **{field: absent}))
        assert len(got) == len(expected) > 1
        for one, other in zip(got, expected, strict=True):
            assert np.isfinite(one.score) and np.isfinite(list(one.evidence.values())).all()
            assert_same(one, other)


def test_samples_without_patches_do_not_move_the_center():
    """Half of a run without patches: the other half is searched as if it were alone."""
    seen, *_ = with_mark()
    doubled = replace(
        seen,
        predicted=np.r_[seen.predicted, np.full(120, -1)],
        patches=np.concatenate([seen.patches, np.zeros_like(seen.patches)]),
        patch_shares=np.concatenate([seen.patch_shares, np.zeros_like(seen.patch_shares)]),
        rest=np.concatenate([seen.rest, np.zeros_like(seen.rest)]),
    )
    for one, other in zip(concepts(seen), concepts(doubled), strict=True):
        np.testing.assert_array_equal(one.members, other.members)
        assert one.score == pytest.approx(other.score, rel=1e-6)


def test_without_what_it_takes_nothing_is_found():
    seen, *_ = with_mark()
    for field in ("patches", "patch_shares", "rest"):
        assert concepts(replace(seen, **{field: None})) == []
    assert concepts(replace(seen, patches=np.zeros_like(seen.patches))) == []
    none = replace(seen, patches=seen.patches[:, :0], patch_shares=seen.patch_shares[:, :0])
    assert concepts(none) == []


def test_one_class_scores_nothing():
    """Everything goes with it: nothing is told from anything."""
    seen, *_ = with_mark()
    for same in (np.zeros(120, int), np.where(np.arange(120) < 60, -1, 0)):
        assert all(c.score == 0 for c in concepts(replace(seen, predicted=same)))
    assert concepts(replace(seen, predicted=np.full(120, -1))) == []


def test_a_class_of_one_sample_is_only_background():
    seen, marked, _ = with_mark()
    predicted = seen.predicted.copy()
    predicted[np.flatnonzero(predicted == 3)[1:]] = -1
    found = concepts(replace(seen, predicted=predicted))
    assert sorted(found[0].members) == marked.tolist() and all(c.class_index != 3 for c in found)


@pytest.mark.filterwarnings("error")
def test_no_samples_at_all():
    rng = np.random.default_rng(0)
    seen = planted.photos(rng, np.zeros(0, int))
    assert len(seen) == 0 and detect(seen) == [] and ranked([]) == []
    assert chance_of(seen, permutations=2).highest("concept") == 0


# -- the pieces of the score --------------------------------------------------------------------------


def test_cohesion_is_the_mean_pairwise_cosine():
    rng = np.random.default_rng(0)
    units = rng.normal(size=(17, 5)) + 1
    units[3] = 0
    lengths = np.linalg.norm(units, axis=1, keepdims=True)
    units = np.divide(units, lengths, out=np.zeros_like(units), where=lengths > 0).astype(np.float32)
    assert cohesion(units) == pytest.approx(oracles.mean_pairwise_cosine(units.astype(float)), abs=1e-6)
    assert cohesion(units[:1]) == cohesion(units[:0]) == 0


@pytest.mark.parametrize(
    ("inside", "outside", "base"), [(9, 1, 0.5), (3, 7, 0.5), (5, 0, 0.1), (0, 0, 0.2), (4, 0, 1.0), (7, 13, 0.35)]
)
def test_purity_is_corrected_for_chance(inside, outside, base):
    assert adjusted_purity(inside, outside, base) == pytest.approx(oracles.kappa(inside, outside, base), abs=1e-12)


def test_purity_and_reach_at_their_ends():
    assert adjusted_purity(5, 0, 0.1) == 1 and adjusted_purity(1, 9, 0.1) == 0
    assert reach(40, 40) == 1 and reach(10, 100) == pytest.approx(0.5) == pytest.approx(oracles.log_reach(10, 100))
    assert reach(1, 50) == reach(0, 0) == 0


def test_surroundings_are_compared_with_those_of_the_class():
    """Photos with the mark lie on one background here; the rest of the class on any."""
    seen, marked, _ = with_mark()
    plain = concepts(seen)[0].evidence["host_likeness"]
    rest = seen.rest.copy()
    rest[marked] += 0.5 * planted.axis(7)
    one = concepts(replace(seen, rest=rest))[0]
    center = sum(rest) / len(rest)
    expected = oracles.mean_pairwise_cosine([rest[n] - center for n in one.members])
    expected -= oracles.mean_pairwise_cosine([rest[n] - center for n in seen.of_class(2)])
    assert one.evidence["host_likeness"] == pytest.approx(expected, abs=1e-5)
    assert expected > 0.2 > plain
