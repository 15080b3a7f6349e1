"""Cues: what a suspect says the model goes by, in a form that can be found again in a picture or a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

REACH = 0.6
"""A token belongs to the cue's region when it is this share as alike as a patch must be to be counted as the cue. The
patches that a model looks at most lie in the middle of a cue; its edges are less alike. Measured on planted cues of
real photos (docs/suspects.md): 0.6 covers 80 to 97 % of their area with 92 to 97 % of the cells inside."""
RARE = 0.98
"""Share of the cells of pictures without the cue that must lie below: to a small model much is a little alike."""


@dataclass(frozen=True)
class ConceptCue:
    """Patches that look alike to the model.

    Attributes:
        prototypes: mean directions [P, D]; their length says how tight the cluster is.
        center: mean state that is subtracted before states are compared, [D].
        cut: mean cosine to a cluster from which a patch counts as the cue.
    """

    prototypes: np.ndarray
    center: np.ndarray
    cut: float

    def likeness(self, states: np.ndarray) -> np.ndarray:
        """Mean cosine of states [..., D] to the members of the nearest cluster, [...]."""
        return (directions(states, self.center) @ self.prototypes.T).max(axis=-1)

    def reach(self, foreign: np.ndarray) -> float:
        """Likeness from which a cell belongs to the cue's region.

        `foreign` are token states [n, N, D] of pictures without the cue: of their cells almost none may pass.
        """
        usual = float(np.quantile(self.likeness(foreign), RARE)) if foreign.size else 0.0
        return min(max(REACH * self.cut, usual), self.cut)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, for the store."""
        return {"prototypes": self.prototypes.tolist(), "center": self.center.tolist(), "cut": self.cut}


@dataclass(frozen=True)
class PlaceCue:
    """A fixed place: cells [cells] boolean of the token grid."""

    cells: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, for the store."""
        return {"cells": np.flatnonzero(self.cells).tolist()}


@dataclass(frozen=True)
class PropertyCue:
    """A property between two values (numbers), or of one category."""

    name: str
    low: float | None = None
    high: float | None = None
    category: str | None = None
    measured: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the store."""
        return {
            "property": self.name,
            "low": self.low,
            "high": self.high,
            "category": self.category,
            "measured": self.measured,
        }


@dataclass(frozen=True)
class WordCue:
    """A word of the text."""

    word: str

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the store."""
        return {"word": self.word}


@dataclass(frozen=True)
class WordedCue:
    """A cue in the pictures of image-text pairs, and the word of the texts that it goes with."""

    word: str
    cue: ConceptCue | PlaceCue | PropertyCue

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the store."""
        return {"word": self.word, **self.cue.to_json()}


@dataclass(frozen=True)
class PairCue:
    """The pairs themselves: their picture and text do not belong together."""

    def to_json(self) -> dict[str, Any]:
        """Nothing."""
        return {}


@dataclass(frozen=True)
class UnsupportedCue:
    """A word of its own in every text: row of the sample -> the word that its picture does not support."""

    words: dict[int, str]

    def to_json(self) -> dict[str, Any]:
        """Nothing; the words are named beside the samples."""
        return {}


Cue = ConceptCue | PlaceCue | PropertyCue | WordCue | WordedCue | PairCue | UnsupportedCue


def center_of(states: np.ndarray) -> np.ndarray:
    """Mean [D] of states [n, D]; those that are zero or not finite do not count, and without any other it is zero."""
    usable = states[_present(states)]
    return usable.mean(axis=0) if len(usable) else np.zeros(states.shape[-1], states.dtype)


def directions(states: np.ndarray, center: np.ndarray) -> np.ndarray:
    """States [..., D] seen from the center, with length 1; a state that is zero or not finite stays zero."""
    seen = np.where(_present(states)[..., None], states - center, 0).astype(np.float32)
    length = np.linalg.norm(seen, axis=-1, keepdims=True)
    return np.divide(seen, length, out=np.zeros_like(seen), where=length > 0)


def _present(states: np.ndarray) -> np.ndarray:
    return np.isfinite(states).all(axis=-1) & (states != 0).any(axis=-1)
