"""Properties of whole pictures: measured as written down plainly, and changed by as much as asked for."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data

from engine.properties import PROPERTIES, change, measure
from tests import oracles

PHOTO = data.astronaut()
SMALL = np.array(Image.fromarray(data.coffee()).resize((75, 50)))
# By how much each property is changed, and how far off the change and the other properties may be.
AMOUNTS = {"brightness": 0.1, "contrast": 0.04, "saturation": 0.08, "warmth": 0.1, "greenness": 0.1, "sharpness": 0.4}
SLACK = {
    "brightness": 0.003,
    "contrast": 0.002,
    "saturation": 0.002,
    "warmth": 0.006,
    "greenness": 0.006,
    "sharpness": 0.05,
}
LITTLE = {"brightness": 0.02, "contrast": 0.04, "saturation": 0.02, "warmth": 0.02, "greenness": 0.02, "sharpness": 0.1}
# What cannot stay: a tint is a colour, more colour is more of each tint, and edges are as strong as the contrast.
TIED = {
    "warmth": {"saturation"},
    "greenness": {"saturation"},
    "saturation": {"warmth", "greenness"},
    "contrast": {"sharpness"},
}


def noise(*size: int) -> np.ndarray:
    return np.random.default_rng(sum(size)).integers(0, 256, (*size, 3), np.uint8)


@pytest.mark.parametrize(
    "picture",
    [SMALL, PHOTO[100:300, 50:190], noise(128, 90), noise(3, 200), noise(1, 1), np.zeros((5, 4, 3), np.uint8)],
    ids=["enlarged", "reduced", "as it is", "a strip", "a pixel", "black"],
)
def test_measure_is_the_plain_writing(picture: np.ndarray) -> None:
    found, plain = measure(picture), oracles.properties(picture)
    assert list(found) == list(PROPERTIES) == list(plain)
    assert found == pytest.approx(plain, abs=2e-5)


def test_known_colours() -> None:
    def flat(*rgb: int) -> dict[str, float]:
        return measure(np.full((9, 7, 3), rgb, np.uint8))

    red = {"brightness": 0.299, "contrast": 0, "saturation": 1, "warmth": 1, "greenness": -0.5, "sharpness": -6}
    assert flat(255, 0, 0) == pytest.approx(red, abs=1e-5)
    assert flat(0, 255, 0)["greenness"] == pytest.approx(1) and flat(0, 0, 255)["warmth"] == pytest.approx(-1)
    assert flat(255, 255, 255)["brightness"] == pytest.approx(1) and flat(90, 90, 90)["saturation"] == 0


def test_a_picture_has_those_of_its_thumbnail() -> None:
    thumbnail = Image.fromarray(PHOTO).resize((128, 128), Image.Resampling.BILINEAR)
    assert measure(PHOTO) == pytest.approx(measure(np.asarray(thumbnail)), abs=0.005)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("name", PROPERTIES)
def test_change_moves_one_property_and_the_others_little(name: str, sign: int) -> None:
    before = measure(PHOTO)
    changed = change(PHOTO, name, sign * AMOUNTS[name])
    assert changed.shape == PHOTO.shape and changed.dtype == np.uint8
    moved = {other: value - before[other] for other, value in measure(changed).items()}
    assert moved.pop(name) == pytest.approx(sign * AMOUNTS[name], abs=SLACK[name])
    for other, by in moved.items():
        assert other in TIED.get(name, ()) or abs(by) <= LITTLE[other], (other, by)


@pytest.mark.parametrize("name", PROPERTIES)
def test_more_is_more(name: str) -> None:
    steps = [measure(change(SMALL, name, share * AMOUNTS[name]))[name] for share in (-2, -1, -0.5, 0, 0.5, 1, 2)]
    assert (np.diff(steps) > 0).all()


@pytest.mark.parametrize("name", PROPERTIES)
def test_nothing_asked_nothing_changed(name: str) -> None:
    unchanged = change(SMALL, name, 0.0)
    assert (unchanged == SMALL).all() and unchanged is not SMALL


def test_colours_are_clipped_and_never_wrap() -> None:
    assert (change(PHOTO, "brightness", 2.0) == 255).all() and not change(PHOTO, "brightness", -2.0).any()
    brighter = change(PHOTO, "brightness", 0.3)
    assert (brighter >= PHOTO).all() and brighter.max() == 255
    assert measure(brighter)["brightness"] == pytest.approx(measure(PHOTO)["brightness"] + 0.3, abs=0.003)


@pytest.mark.parametrize("name", ["contrast", "saturation", "sharpness"])
def test_what_is_not_there_cannot_grow(name: str) -> None:
    grey = np.full((20, 30, 3), 90, np.uint8)
    assert np.ptp(change(grey, name, 0.3)) <= 1 and np.ptp(change(grey, name, -0.3)) <= 1


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ValueError, match="unknown property 'tint'; available: brightness"):
        change(PHOTO, "tint", 0.1)
    with pytest.raises(ValueError, match="warmth cannot be changed by nan"):
        change(PHOTO, "warmth", float("nan"))
    for wrong in (PHOTO.astype(np.float32), PHOTO[..., 0], PHOTO[:0]):
        with pytest.raises(ValueError, match=r"a picture is uint8 \[H, W, 3\] with at least one pixel"):
            measure(wrong)
