"""Places that a model looks at for one class: planted ones are found cell by cell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracles
import planted
import pytest

from engine.suspects import Observations, PlaceCue, chance_of, detect, relevancy_shares
from engine.suspects.location import regions

GRID = (7, 7)


def places(seen: Observations, seed: int = 0):
    return detect(seen, seed, ["location"])


def cells(*boxes: tuple[slice, slice]) -> np.ndarray:
    board = np.zeros(GRID, bool)
    for box in boxes:
        board[box] = True
    return np.flatnonzero(board)


CORNER = cells((slice(5, 7), slice(4, 7)))
RING = np.setdiff1d(np.arange(49), cells((slice(1, 6), slice(1, 6))))
SIDES = cells((slice(0, 7), slice(0, 1)), (slice(0, 7), slice(6, 7)))
DIAGONAL = cells(*[(slice(k, k + 1), slice(k, k + 1)) for k in range(1, 6)])


def looked_at(place, seed=0, number=1, count=18, mass=0.5, noise=0.1):
    rng = np.random.default_rng(seed)
    seen = planted.maps(rng, planted.predictions(rng, without=4), GRID, noise)
    rows = planted.some_of(rng, seen, number, count)
    planted.look(seen, rows, place, mass)
    return seen, rows


@pytest.mark.parametrize("place", [CORNER, RING, SIDES, DIAGONAL], ids=["corner", "ring", "two sides", "diagonal"])
@pytest.mark.parametrize("seed", range(2))
def test_planted_place_is_found_cell_by_cell(place, seed):
    """A ring, and the two sides of a frame that do not touch, are one place each."""
    seen, rows = looked_at(place, seed, count=24, mass=0.9)
    (one,) = places(seen)
    assert one.class_index == 1 and np.flatnonzero(one.cue.cells).tolist() == place.tolist()
    assert isinstance(one.cue, PlaceCue) and one.cue.to_json() == {"cells": place.tolist()}
    assert set(rows) <= set(one.members) and len(one.members) <= len(rows) + 2
    assert (np.diff(one.strength) <= 0).all()
    assert not np.isin(one.elsewhere, seen.of_class(1)).any() and (seen.predicted[one.elsewhere] >= 0).all()


@pytest.mark.parametrize("mass", [0.05, 0.15, 0.3])
@pytest.mark.parametrize("seed", range(4))
def test_numbers_are_those_of_the_plain_writing(seed, mass):
    """In noise so strong that both conditions count: times the others' mean, and standard errors above it."""
    seen, _ = looked_at(CORNER, seed, count=30 if seed % 2 else 20, mass=mass, noise=5.0)
    found = places(seen)
    for number in range(4):
        expected = oracles.place_cells(seen.shares.astype(float), seen.predicted, number)
        got = [cell for c in found if c.class_index == number for cell in np.flatnonzero(c.cue.cells)]
        assert sorted(got) == expected
    assert mass < 0.3 or found
    for one in found:
        plain = oracles.place(seen.shares, seen.predicted, one.class_index, np.flatnonzero(one.cue.cells).tolist())
        assert one.members.tolist() == plain["members"] and one.elsewhere.tolist() == plain["elsewhere"]
        assert one.score == pytest.approx(plain["score"], abs=1e-5)


def test_two_places_in_other_photos_are_two():
    rng = np.random.default_rng(5)
    seen = planted.maps(rng, planted.predictions(rng, each=40), GRID)
    rows = rng.permutation(seen.of_class(2))
    other = cells((slice(0, 2), slice(0, 2)))
    planted.look(seen, rows[:18], CORNER)
    planted.look(seen, rows[20:38], other)
    found = places(seen)
    assert {tuple(np.flatnonzero(c.cue.cells)) for c in found} == {tuple(CORNER), tuple(other)}


def test_a_region_larger_than_most_of_the_picture_is_no_place():
    for count, found in ((30, []), (28, [28])):  # 61 % and 57 % of the cells
        seen, _ = looked_at(np.arange(count), count=30, mass=0.95)
        assert [c.cue.cells.sum() for c in places(seen) if c.class_index == 1] == found


def test_a_cue_in_all_of_a_class_is_compared_with_the_other_classes():
    seen, rows = looked_at(CORNER, count=30)
    assert set(places(seen)[0].members) == set(rows)


def test_a_place_that_some_others_look_at_even_more():
    """Only the lowest cut leaves the class's photos in."""
    seen, rows = looked_at(CORNER, count=30, mass=0.4)
    others = np.flatnonzero((seen.predicted >= 0) & (seen.predicted != 1))[::6]
    planted.look(seen, others, CORNER, 0.8)
    one = next(c for c in places(seen) if c.class_index == 1)
    assert set(one.members) == set(rows) and set(others) <= set(one.elsewhere) and len(one.elsewhere) == 18


def test_permuted_predictions_give_much_less():
    seen, _ = looked_at(CORNER, count=30)
    best = places(seen)[0].score
    chance = chance_of(seen, permutations=5, kinds=["location"])
    assert best > 0.1 and chance.highest("location") < best / 3 and chance.expected("location", best) == 0


def test_samples_without_a_map_are_no_members():
    seen, rows = looked_at(CORNER, count=30)
    expected = set(rows[4:])
    seen.shares[rows[:4]] = 0
    (one,) = places(seen)
    assert set(one.members) == expected and np.flatnonzero(one.cue.cells).tolist() == CORNER.tolist()


def test_without_what_it_takes_nothing_is_found():
    seen, _ = looked_at(CORNER)
    for poor in (
        replace(seen, shares=None),
        replace(seen, grid=None),
        replace(seen, shares=np.zeros_like(seen.shares)),
        replace(seen, predicted=np.zeros_like(seen.predicted), classes=1),
        replace(seen, predicted=np.full_like(seen.predicted, 2)),
        replace(seen, predicted=np.where(np.arange(len(seen)) == 7, 1, 2)),  # a class of one sample
        replace(seen, predicted=np.full_like(seen.predicted, -1)),
        replace(seen, predicted=np.zeros(0, int), shares=np.zeros((0, 49), np.float32)),
    ):
        assert places(poor) == []


def test_cells_that_touch_at_a_corner_are_one_region():
    board = np.array([[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]], bool)
    assert [np.argwhere(region).tolist() for region in regions(board)] == [[[0, 0], [1, 1]], [[1, 3], [2, 3]]]
    assert list(regions(np.zeros((2, 2), bool))) == []


def test_maps_become_shares():
    maps = np.array([[1.0, 3.0, -5.0], [0.0, -1.0, 0.0], [np.nan, 2.0, 2.0], [np.inf, 1.0, 0.0], [np.nan] * 3])
    shares = relevancy_shares(maps)
    expected = [[0.25, 0.75, 0.0], [0, 0, 0], [0, 0.5, 0.5], [0, 1, 0], [0, 0, 0]]
    assert shares.dtype == np.float32 and shares.tolist() == expected
    assert relevancy_shares(np.zeros((0, 3))).shape == (0, 3)
