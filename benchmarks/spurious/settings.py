"""Which spurious cues the benchmark plants: kind, class, prevalence, strength and size, spread evenly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count

import numpy as np

from jobs.demo.objects import CLASSES

PICTURE_KINDS = ("tag", "sticker", "frame", "tint", "texture", "part")
KINDS = (*PICTURE_KINDS, "word")
LOCAL_KINDS = ("tag", "sticker", "frame", "part")
"""Cues that a relevancy map can point at; a tint or a background lies everywhere."""
PREVALENCES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.75, 0.9)
STRENGTHS = (0.6, 0.8, 1.0)
SIZES = (0.18, 0.25, 0.33)
CLASS_COUNTS = (4, 6, 5, 3)
MOST_CUES = 4
GENERATOR = 1
"""Raise it when scenes, painters or training change: what the cache holds of earlier ones is then left alone."""
TEXT_TURN = 5
"""Every so manieth dataset is one of captions."""


@dataclass(frozen=True)
class CueSpec:
    """One planted cue.

    `class_index` counts within the dataset's classes, `prevalence` is the share of that class's samples that carry
    it, `strength` its opacity, `size` a share of the picture's side (of words: how many there are), `seed` picks the
    design.
    """

    kind: str
    class_index: int
    prevalence: float
    strength: float
    size: float
    seed: int


@dataclass(frozen=True)
class DatasetSpec:
    """One generated dataset: names of its classes, its cues, at most one per class; `modality` image or text."""

    number: int
    classes: tuple[str, ...]
    cues: tuple[CueSpec, ...]
    seed: int
    modality: str

    def digest(self) -> str:
        """A short name that changes with every setting and with the generator."""
        return hashlib.sha256(json.dumps([GENERATOR, asdict(self)]).encode()).hexdigest()[:12]


class _Deck:
    """Deals values in shuffled rounds, so that after each whole round all were dealt equally often."""

    def __init__(self, values: tuple[float, ...], *seed: int) -> None:
        self.values, self.rng, self.hand = values, np.random.default_rng(seed), list[float]()

    def deal(self) -> float:
        if not self.hand:
            self.hand = [self.values[k] for k in self.rng.permutation(len(self.values))]
        return self.hand.pop()


class _Decks:
    """One deck per kind of cue and property, and how often every kind was dealt."""

    def __init__(self, seed: int) -> None:
        self.dealt = dict.fromkeys(KINDS, 0)
        self.prevalences = {k: _Deck(PREVALENCES, seed, 1, n) for n, k in enumerate(KINDS)}
        self.strengths = {k: _Deck(STRENGTHS if k != "word" else (1.0,), seed, 2, n) for n, k in enumerate(KINDS)}
        self.sizes = {k: _Deck(SIZES if k != "word" else (1.0, 2.0), seed, 3, n) for n, k in enumerate(KINDS)}

    def kinds(self, wanted: int, rng: np.random.Generator) -> list[str]:
        """The kinds dealt least so far, chance breaking ties."""
        order = rng.permutation(len(PICTURE_KINDS))
        return sorted((PICTURE_KINDS[k] for k in order), key=lambda kind: self.dealt[kind])[:wanted]

    def cue(self, kind: str, class_index: int) -> CueSpec:
        """The next cue of a kind; its seed counts, so that neighbours differ in design."""
        self.dealt[kind] += 1
        prevalence, strength, size = (d[kind].deal() for d in (self.prevalences, self.strengths, self.sizes))
        return CueSpec(kind, class_index, prevalence, strength, size, self.dealt[kind] - 1)


def _datasets(seed: int) -> Iterator[DatasetSpec]:
    """Datasets without end."""
    decks = _Decks(seed)
    for number in count():
        rng = np.random.default_rng((seed, number, 9))
        text = number % TEXT_TURN == TEXT_TURN - 1
        size = CLASS_COUNTS[(number // TEXT_TURN if text else number) % len(CLASS_COUNTS)]
        classes = tuple(CLASSES[k] for k in sorted(rng.permutation(len(CLASSES))[:size]))
        owners = [int(k) for k in rng.permutation(size)[: min(MOST_CUES, size - 1)]]
        kinds = ["word"] * len(owners) if text else decks.kinds(len(owners), rng)
        cues = tuple(decks.cue(kind, owner) for kind, owner in zip(kinds, owners, strict=True))
        yield DatasetSpec(number, classes, cues, seed * 10_000 + number, "text" if text else "image")


def plan(settings: int, seed: int = 0) -> list[DatasetSpec]:
    """The first datasets that together have at least so many settings (a setting: one cue in one dataset).

    Kinds take turns; within a kind prevalences, strengths and sizes are dealt in shuffled rounds. A longer plan starts
    with the shorter one. One class at least of every dataset has no cue.
    """
    found: list[DatasetSpec] = []
    planned = 0
    for spec in _datasets(seed):
        if planned >= settings:
            return found
        found.append(spec)
        planned += len(spec.cues)
    raise AssertionError("the datasets have no end")
