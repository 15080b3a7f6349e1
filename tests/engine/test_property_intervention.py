"""A property that a model goes by is found out, one that only goes with the class is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from skimage import data

from engine.interventions.properties import LONGEST, shift_property
from engine.properties import PROPERTIES, change, measure

Score = Callable[[list[np.ndarray]], np.ndarray]


def crops(seed: int, count: int = 10) -> list[np.ndarray]:
    """Pieces of photographs, of different sizes."""
    rng = np.random.default_rng(seed)
    photos = [data.astronaut(), data.chelsea(), data.coffee()]
    found = []
    for i in range(count):
        photo = photos[i % 3]
        y, x = (int(rng.integers(size - 180)) for size in photo.shape[:2])
        found.append(photo[y : y + 120 + i, x : x + 150])
    return found


def of(value: Callable[[np.ndarray], float], middle: float, slope: float) -> Score:
    """A model whose p(class 1) grows with a number it reads off the picture."""

    def score(pictures: list[np.ndarray]) -> np.ndarray:
        p = 1 / (1 + np.exp(-slope * (np.array([value(picture) for picture in pictures]) - middle)))
        return np.stack([1 - p, p], axis=1)

    return score


def redness(picture: np.ndarray) -> float:
    return float((picture[..., 0].astype(float) - picture[..., 2]).mean() / 255)


def warm(shift: float) -> list[np.ndarray]:
    """Pictures that all are `shift` warmer or colder than grey."""
    return [change(picture, "warmth", shift - measure(picture)["warmth"]) for picture in crops(0)]


def test_a_model_that_reads_redness_is_found_out() -> None:
    removal, transplant = shift_property(warm(0.3), warm(0.0), "warmth", 0.3, 0.0, 1, of(redness, 0.15, 30))
    assert (removal.verdict, transplant.verdict) == ("verified", "verified")
    assert removal.mean > 0.9 and transplant.mean > 0.9
    assert removal.control_mean < 0.05 and transplant.control_mean < 0.05
    assert removal.flips == transplant.flips == 1 and removal.control_flips == transplant.control_flips == 0
    assert removal.n == transplant.n == 10


def test_a_model_that_ignores_it_is_not() -> None:
    """It reads how bright the middle row is: a tint leaves that nearly as it is."""
    middle = of(lambda picture: float((picture[len(picture) // 2] @ [0.299, 0.587, 0.114]).mean() / 255), 0.4, 5)
    removal, transplant = shift_property(warm(0.15), warm(0.0), "warmth", 0.15, 0.0, 1, middle)
    assert (removal.verdict, transplant.verdict) == ("refuted", "refuted")


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_property_can_be_verified(name: str) -> None:
    step = 0.5 if name == "sharpness" else 0.08
    middle = float(np.median([measure(picture)[name] for picture in crops(1)]))
    own, others = (
        [change(picture, name, middle + sign * step - measure(picture)[name]) for picture in crops(1)]
        for sign in (1, -1)
    )
    score = of(lambda picture: measure(picture)[name], middle, 5 / step)
    target, usual = (float(np.median([measure(p)[name] for p in some])) for some in (own, others))
    removal, transplant = shift_property(own, others, name, target, usual, 1, score)
    assert (removal.verdict, transplant.verdict) == ("verified", "verified")


def test_large_pictures_are_reduced_before_anything_is_scored() -> None:
    seen: list[tuple[int, ...]] = []

    def score(pictures: list[np.ndarray]) -> np.ndarray:
        seen.extend(picture.shape for picture in pictures)
        return np.full((len(pictures), 2), 0.5)

    large = np.tile(data.astronaut(), (3, 2, 1))
    removal, _ = shift_property([large, large], [data.chelsea()], "sharpness", -1.0, -2.0, 0, score)
    assert set(seen) == {(LONGEST, round(1024 * LONGEST / 1536), 3), data.chelsea().shape}
    assert removal.mean == 0 and removal.verdict == "refuted"
