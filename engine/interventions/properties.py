"""Removal and transplant of a property of whole pictures, such as a tint or a blur."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from engine.interventions.effect import Effect, effect_of
from engine.properties import change, measure
from engine.resampling import resized

Score = Callable[[list[np.ndarray]], np.ndarray]
"""Pictures, uint8 [H, W, 3] each -> class probabilities [B, C]."""

LONGEST = 640  # pixels: larger pictures are reduced first; models read fewer


def shift_property(
    pictures: Sequence[np.ndarray],
    hosts: Sequence[np.ndarray],
    name: str,
    target: float,
    usual: float,
    number: int,
    score: Score,
) -> tuple[Effect, Effect]:
    """What a property does for p(class): (removal, transplant).

    Removal: the fall of p(class) when each picture's property is moved to what is usual elsewhere. Transplant: its rise
    when that of each host is moved to what is typical of the class. The control moves the property of the same picture
    as far the other way (as far as colours allow: nothing is darker than black).

    Args:
        pictures: uint8 [H, W, 3] of any sizes, predicted as the class and with the property.
        hosts: the same of pictures that are predicted as other classes.
        name: one of `engine.properties.PROPERTIES`.
        target: median of the property among the first.
        usual: median among all pictures of the other classes.
        number: the class.
        score: the model.

    Raises:
        ValueError: unknown property, or a median that is no number.
    """
    removal = moved(pictures, name, usual, score)
    transplant = moved(hosts, name, target, score)
    falls = [before[:, number] - after[:, number] for before, after in removal]
    left = [(before.argmax(axis=1) == number) & (after.argmax(axis=1) != number) for before, after in removal]
    rises = [after[:, number] - before[:, number] for before, after in transplant]
    won = [(before.argmax(axis=1) != number) & (after.argmax(axis=1) == number) for before, after in transplant]
    return effect_of(falls[0], falls[1], left[0], left[1]), effect_of(rises[0], rises[1], won[0], won[1])


def moved(
    pictures: Sequence[np.ndarray], name: str, aim: float, score: Score
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Answers [B, C] before and after the property of pictures is moved to `aim`, and as far the other way."""
    pictures = [_reduced(picture) for picture in pictures]
    before = score(pictures)
    amounts = [aim - measure(picture)[name] for picture in pictures]
    there, away = (
        score([change(picture, name, sign * by) for picture, by in zip(pictures, amounts, strict=True)])
        for sign in (1, -1)
    )
    return (before, there), (before, away)


def _reduced(picture: np.ndarray) -> np.ndarray:
    """The picture, uint8 [H, W, 3], with a long side of at most `LONGEST` pixels."""
    if max(picture.shape[:2]) <= LONGEST:
        return picture
    small = resized(picture.transpose(2, 0, 1).astype(np.float32), LONGEST)
    return np.ascontiguousarray(np.rint(small).clip(0, 255).astype(np.uint8).transpose(1, 2, 0))
