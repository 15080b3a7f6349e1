"""Feature vectors of regions, as a detector might give them: attributes and place, noise, and numbers of no use."""

from __future__ import annotations

import numpy as np

from benchmarks.questions.scenes import ATTRIBUTES, Thing

DISTRACTORS = 8
PLACE = 4
WIDTH = sum(map(len, ATTRIBUTES.values())) + PLACE + DISTRACTORS
"""Shape, colour and size one-hot; middle and sides of the box; distractors: 24 numbers."""
_ATTRIBUTE_NOISE, _PLACE_NOISE = 0.15, 0.02
NOISE = np.array(
    [_ATTRIBUTE_NOISE] * (WIDTH - PLACE - DISTRACTORS) + [_PLACE_NOISE] * PLACE + [1.0] * DISTRACTORS, np.float32
)
"""Standard deviation of each number, [WIDTH]. The distractors are noise alone."""


def clean(things: tuple[Thing, ...]) -> np.ndarray:
    """Features without noise, [K, WIDTH] float32."""
    rows = np.zeros((len(things), WIDTH), np.float32)
    for row, thing in zip(rows, things, strict=True):
        hot = [name == getattr(thing, attribute) for attribute, names in ATTRIBUTES.items() for name in names]
        x0, y0, x1, y1 = thing.box
        middle = [(x0 + x1) - 1, (y0 + y1) - 1]
        row[: len(hot) + PLACE] = [*hot, *middle, 4 * (x1 - x0), 4 * (y1 - y0)]
    return rows


def noisy(things: tuple[Thing, ...], seed: int, index: int) -> np.ndarray:
    """Features of example `index` of a seed, [K, WIDTH] float32."""
    noise = np.random.default_rng((seed, index)).standard_normal((len(things), WIDTH), np.float32)
    return clean(things) + noise * NOISE


def boxes(things: tuple[Thing, ...]) -> np.ndarray:
    """Boxes as fractions, [K, 4] float32."""
    return np.array([thing.box for thing in things], np.float32)
