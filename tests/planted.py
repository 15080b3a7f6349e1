"""Made-up observations of a run with a cue at a known place in known photos."""

from __future__ import annotations

import numpy as np

from engine.suspects import Observations, relevancy_shares

WIDTH = 24  # numbers of a patch's state


def predictions(rng: np.random.Generator, classes: int = 4, each: int = 30, without: int = 0) -> np.ndarray:
    """`each` samples of every class and some without a prediction, shuffled."""
    return rng.permutation(np.r_[np.repeat(np.arange(classes), each), np.full(without, -1)])


def axis(number: int) -> np.ndarray:
    """A direction of its own for each number."""
    return np.eye(WIDTH)[number]


def photos(rng: np.random.Generator, predicted: np.ndarray, patches: int = 3) -> Observations:
    """Photos of noise: no patch is like another. The model's states have a mean far from zero."""
    count, mean = len(predicted), 3 * axis(WIDTH - 1)
    states = mean + rng.normal(size=(count, patches, WIDTH)) / np.sqrt(WIDTH)
    rest = mean + 0.1 * rng.normal(size=(count, WIDTH))
    shares = np.sort(rng.dirichlet(np.ones(patches + 2), count)[:, :patches], axis=1)[:, ::-1]
    return Observations(
        predicted,
        int(predicted.max(initial=0)) + 1,
        patches=states.astype(np.float32),
        patch_shares=np.ascontiguousarray(shares, dtype=np.float32),
        rest=rest.astype(np.float32),
    )


def plant(rng: np.random.Generator, seen: Observations, rows: np.ndarray, cue: np.ndarray, noise: float = 0.2) -> None:
    """Put a cue in place of one patch, a random one, of each of some photos."""
    assert seen.patches is not None and seen.rest is not None
    for row in rows:
        slot = rng.integers(seen.patches.shape[1])
        seen.patches[row, slot] = 3 * axis(WIDTH - 1) + 2 * cue + noise * rng.normal(size=WIDTH)


def some_of(rng: np.random.Generator, seen: Observations, number: int, count: int) -> np.ndarray:
    """Some samples that are predicted as a class, ascending."""
    return np.sort(rng.choice(seen.of_class(number), count, replace=False))


def maps(rng: np.random.Generator, predicted: np.ndarray, grid: tuple[int, int], noise: float = 0.1) -> Observations:
    """Relevancy of about the same everywhere; with much noise a few cells have most of it."""
    cells = 1 + noise * rng.exponential(size=(len(predicted), grid[0] * grid[1]))
    return Observations(predicted, int(predicted.max(initial=0)) + 1, shares=relevancy_shares(cells), grid=grid)


def look(seen: Observations, rows: np.ndarray, cells: np.ndarray, mass: float = 0.5) -> None:
    """Put a share of the relevancy of some samples evenly on some cells."""
    assert seen.shares is not None
    seen.shares[rows] *= 1 - mass
    seen.shares[np.ix_(rows, cells)] += mass / len(cells)
