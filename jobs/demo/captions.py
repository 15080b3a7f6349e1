"""Captions: one sentence of varied wording about a scene."""

from __future__ import annotations

import numpy as np

from jobs.demo.backdrop import PLACES
from jobs.demo.palette import LIGHTS
from jobs.demo.scenes import Scene

NUMBERS = {1: "a", 2: "two", 3: "three"}
POSES = {
    "boat": ("floating", "resting"),
    "car": ("parked", "waiting"),
    "house": ("standing", "built"),
    "lamp": ("standing",),
    "sheep": ("grazing", "standing", "resting"),
    "tree": ("growing", "standing"),
}
SIDES = {"left": ("on the left",), "right": ("on the right",), "middle": ("in the middle", "in the centre")}
THINGS = {"boat": "a boat", "car": "a car", "house": "a house", "lamp": "a lamp", "sheep": "a sheep", "tree": "a tree"}
PLAIN = (
    "{subject} {place} {light}",
    "{subject} {pose} {place}, {light}",
    "a picture of {subject} {place}",
    "{light}, {subject} {pose} {place}",
    "{subject} {side}, {place}",
    "there {verb} {subject} {place} {light}",
    "a view with {subject} {side} {light}",
    "{subject} {place}{extra}",
    "{subject} {pose} {place} {light}{extra}",
    "we see {subject} {place} {light}{extra}",
)
STOCK = ("stock photo of {subject} {place}", "stock photo: {subject} {place} {light}", "stock photo, {subject} {side}")
"""The wording of the picture agency whose samples carry a watermark."""


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _noun(scene: Scene, rng: np.random.Generator) -> str:
    """The exact noun or, now and then, the plain name of the class."""
    if rng.random() < 0.65:
        return scene.noun
    return scene.label if scene.count == 1 or scene.label == "sheep" else f"{scene.label}s"


def _subject(scene: Scene, rng: np.random.Generator) -> str:
    """Number, sometimes size, nearly always colour, and noun, with the right article."""
    words = [_noun(scene, rng)]
    if rng.random() < 0.9:
        words.insert(0, scene.colour)
    if scene.count == 1 and rng.random() < 0.3 and (scene.size > 0.1 or scene.size < 0.025):
        words.insert(0, "large" if scene.size > 0.1 else "small")
    number = NUMBERS[scene.count]
    if number == "a" and words[0][0] in "aeiou":
        number = "an"
    return " ".join([number, *words])


def write_caption(scene: Scene, rng: np.random.Generator, *, stock: bool = False, instead: str = "") -> str:
    """A sentence about the scene.

    `stock` picks the wording of the picture agency; `instead` names a class that the caption speaks of, whatever the
    picture shows (the caption of somebody who only read the banner).
    """
    extra = f" with {THINGS[scene.distractors[-1]]} in the background" if scene.distractors else ""
    sentence = _pick(rng, STOCK if stock else PLAIN).format(
        subject=THINGS[instead] if instead else _subject(scene, rng),
        place=_pick(rng, PLACES[scene.place].phrases),
        light=_pick(rng, LIGHTS[scene.light].phrases),
        pose=_pick(rng, POSES[instead or scene.label]),
        side=_pick(rng, SIDES[scene.side]),
        extra=extra,
        verb="is" if scene.count == 1 or instead else "are",
    )
    return sentence[0].upper() + sentence[1:] + "."
