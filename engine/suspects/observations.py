"""Observations: what a run knows of every sample, as arrays that detectors read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

NONE = -1
"""Class number of a sample without a class."""


@dataclass(frozen=True)
class Property:
    """One value per sample.

    Attributes:
        values: numbers [N] float64 with NaN for unknown, or category numbers [N] int64 with -1 for unknown.
        names: names of the categories; None for numbers.
        measured: whether it was measured on the picture ("brightness"), so that an intervention can change it.
    """

    values: np.ndarray
    names: tuple[str, ...] | None = None
    measured: bool = False

    def taken(self, rows: np.ndarray) -> Property:
        """The samples at positions `rows`."""
        return replace(self, values=self.values[rows])


@dataclass(frozen=True)
class Words:
    """The words of N texts: `vocabulary`, and per (sample, word) the share of the text's relevancy.

    Attributes:
        vocabulary: W distinct words.
        rows: sample of each entry, [E] int64, ascending.
        words: index into the vocabulary of each entry, [E] int64.
        shares: share of the sample's text relevancy on that word, [E] float32.
    """

    vocabulary: tuple[str, ...]
    rows: np.ndarray
    words: np.ndarray
    shares: np.ndarray

    def taken(self, rows: np.ndarray) -> Words:
        """The words of the samples at positions `rows`, ascending."""
        place = np.searchsorted(rows, self.rows).clip(max=max(len(rows) - 1, 0))
        here = rows[place] == self.rows if len(rows) else np.zeros(len(self.rows), bool)
        return replace(self, rows=place[here], words=self.words[here], shares=self.shares[here])


@dataclass(frozen=True)
class Observations:
    """What N explained samples look like to a detector. Fields that a run lacks are None or empty.

    Attributes:
        predicted: predicted class of each sample, [N] int64, -1 for none.
        classes: number of classes C.
        shares: relevancy maps, positive part, each with sum 1 (or 0 where there is none), [N, cells] float32.
        grid: rows and columns of the maps.
        patches: states of the most relevant patches, [N, T, D] float32; zero where a sample has fewer.
        patch_shares: share of the sample's relevancy on each of them, [N, T] float32.
        rest: mean state of the less relevant half of the tokens, [N, D] float32.
        properties: name -> one value per sample.
        words: words of the texts.
    """

    predicted: np.ndarray
    classes: int
    shares: np.ndarray | None = None
    grid: tuple[int, int] | None = None
    patches: np.ndarray | None = None
    patch_shares: np.ndarray | None = None
    rest: np.ndarray | None = None
    properties: Mapping[str, Property] = field(default_factory=dict)
    words: Words | None = None
    _kept: dict[str, tuple[tuple[np.ndarray, ...], np.ndarray]] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        """N, the number of samples."""
        return len(self.predicted)

    def of_class(self, number: int) -> np.ndarray:
        """Rows of the samples that are predicted as a class."""
        return np.flatnonzero(self.predicted == number)

    def kept(self, name: str, sources: tuple[np.ndarray, ...], make: Callable[[], np.ndarray]) -> np.ndarray:
        """An array that follows from `sources` alone: made once, and shared with copies that have the same ones."""
        known = self._kept.get(name)
        if known is None or any(one is not other for one, other in zip(known[0], sources, strict=True)):
            self._kept[name] = (sources, make())
        return self._kept[name][1]

    def taken(self, rows: np.ndarray) -> Observations:
        """The samples at positions `rows`, ascending."""
        return replace(
            self,
            predicted=self.predicted[rows],
            shares=_taken(self.shares, rows),
            patches=_taken(self.patches, rows),
            patch_shares=_taken(self.patch_shares, rows),
            rest=_taken(self.rest, rows),
            properties={name: one.taken(rows) for name, one in self.properties.items()},
            words=None if self.words is None else self.words.taken(rows),
            _kept={},
        )

    def permuted(self, rng: np.random.Generator) -> Observations:
        """The same samples with the predictions dealt out anew: no cue is associated with any class any more."""
        known = np.flatnonzero(self.predicted != NONE)
        predicted = self.predicted.copy()
        predicted[known] = rng.permutation(predicted[known])
        return replace(self, predicted=predicted)


def _taken(array: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if array is None else array[rows]


def relevancy_shares(maps: np.ndarray) -> np.ndarray:
    """Positive part of maps [N, cells] divided by its sum; cells that are not finite count as zero,
    and rows without any relevancy are zero."""
    positive = np.nan_to_num(np.maximum(maps, 0), nan=0.0, posinf=0.0).astype(np.float32)
    total = positive.sum(axis=1, keepdims=True)
    return np.divide(positive, total, out=np.zeros_like(positive), where=total > 0)


def word_entries(texts: Sequence[Sequence[tuple[str, float]]]) -> Words:
    """Words of (word, relevancy) lists, one list per sample; equal words of a sample are added up."""
    index: dict[str, int] = {}
    rows, words, shares = [], [], []
    for row, text in enumerate(texts):
        sums: dict[int, float] = {}
        for word, value in text:
            number = index.setdefault(word, len(index))
            sums[number] = sums.get(number, 0.0) + max(float(value), 0.0)
        total = sum(sums.values())
        for number, value in sums.items():
            rows.append(row)
            words.append(number)
            shares.append(value / total if total > 0 else 0.0)
    return Words(tuple(index), np.array(rows, np.int64), np.array(words, np.int64), np.array(shares, np.float32))
