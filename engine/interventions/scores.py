"""Deletion: how far the score of image-text pairs falls when what is called relevant is taken away, beside random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.errors import EngineError
from engine.explanation import Explanation
from engine.interventions.fills import FILLS
from engine.interventions.regions import pixels_of
from engine.interventions.words import without_span
from engine.models.embedding import encode_images, encode_texts
from engine.models.loading import LoadedModel
from engine.pairs import measure_of
from engine.words import word_relevancy

SHARE = 0.2  # of the patches that are removed
REMOVALS = ("mean", "blur")  # fills
NONE = -1


@dataclass(frozen=True)
class Deletion:
    """Falls of the score of P pairs, [P] float32 each; NaN where there was nothing to remove.

    Attributes:
        patches, patches_random: per fill, without the most relevant fifth of the patches, or as many others.
        word, word_random: without the most relevant word, or another one.
        words: position of the most relevant word in ``Explanation.words``, [P], -1 for none.
    """

    patches: dict[str, np.ndarray]
    patches_random: dict[str, np.ndarray]
    word: np.ndarray
    word_random: np.ndarray
    words: np.ndarray


@torch.no_grad()
def deletion(
    loaded: LoadedModel,
    images: Tensor,
    texts: Sequence[str],
    image_vectors: Tensor,
    text_vectors: Tensor,
    explanation: Explanation,
    seeds: Sequence[int],
    batch_size: int = 64,
) -> Deletion:
    """Remove the most relevant patches and the most relevant word of each pair, and as much at random.

    Args:
        loaded: the two-tower model.
        images: model inputs of the pairs, [P, 3, H, W].
        texts: P texts.
        image_vectors, text_vectors: their unit vectors, [P, D].
        explanation: of the pairs; its target is the score that falls.
        seeds: one per pair: the random choice of a pair does not depend on its neighbours.
        batch_size: pictures that the model sees at once.

    Raises:
        EngineError: the explanation has no grid or no words.
    """
    if explanation.grid is None or explanation.words is None:
        raise EngineError("deletion needs a grid of patches and texts as strings")
    generators = [np.random.default_rng((seed, len(texts[row]))) for row, seed in enumerate(seeds)]
    subject = _Subject(loaded, image_vectors, text_vectors, explanation)
    maps = explanation.relevancy["image"].float().cpu().numpy()
    top, other = strongest_cells(maps), random_cells(maps.shape, generators)
    patches = {fill: subject.fall_of_pictures(images, top, fill, batch_size) for fill in REMOVALS}
    patches_random = {fill: subject.fall_of_pictures(images, other, fill, batch_size) for fill in REMOVALS}
    first, second = _two_words(explanation, generators)
    word = subject.fall_of_texts(texts, first, batch_size)
    return Deletion(patches, patches_random, word, subject.fall_of_texts(texts, second, batch_size), first)


def strongest_cells(maps: np.ndarray) -> np.ndarray:
    """The most relevant fifth of the cells of maps [P, N], boolean [P, N]; of equal ones the first."""
    cells = np.zeros(maps.shape, bool)
    order = np.argsort(-np.nan_to_num(maps), axis=1, kind="stable")[:, : _fifth(maps.shape[1])]
    np.put_along_axis(cells, order, True, axis=1)
    return cells


def random_cells(shape: tuple[int, ...], generators: Sequence[np.random.Generator]) -> np.ndarray:
    """As many cells of each of P maps of N cells, chosen at random, boolean [P, N]."""
    cells = np.zeros(shape, bool)
    for row, rng in enumerate(generators):
        cells[row, rng.choice(shape[1], _fifth(shape[1]), replace=False)] = True
    return cells


def _fifth(cells: int) -> int:
    return max(1, round(SHARE * cells))


def _two_words(explanation: Explanation, generators: Sequence[np.random.Generator]) -> tuple[np.ndarray, np.ndarray]:
    """Positions [P] of the most relevant word of each text, and of another one at random; -1 where there is none."""
    assert explanation.words is not None
    first, second = np.full(len(generators), NONE), np.full(len(generators), NONE)
    for row, values in enumerate(explanation.relevancy["text"].float().cpu().numpy()):
        sums = word_relevancy(values, explanation.words[row])
        if len(sums):
            first[row] = int(np.argmax(sums))
        if len(sums) > 1:
            second[row] = generators[row].choice(np.delete(np.arange(len(sums)), first[row]))
    return first, second


@dataclass(frozen=True)
class _Subject:
    loaded: LoadedModel
    image_vectors: Tensor
    text_vectors: Tensor
    explanation: Explanation

    def fall_of_pictures(self, images: Tensor, cells: np.ndarray, fill: str, batch_size: int) -> np.ndarray:
        """Fall of the score [P] when cells [P, N] are painted over."""
        grid = self.explanation.grid
        assert grid is not None
        vectors = []
        for start in range(0, len(images), batch_size):
            chunk = images[start : start + batch_size].to(self.image_vectors.device)
            removed = pixels_of(cells[start : start + batch_size], grid, (chunk.shape[-2], chunk.shape[-1]))
            vectors.append(encode_images(self.loaded, FILLS[fill](chunk, removed.to(chunk.device)), batch_size))
        return self._fall(torch.cat(vectors), self.text_vectors)

    def fall_of_texts(self, texts: Sequence[str], words: np.ndarray, batch_size: int) -> np.ndarray:
        """Fall of the score [P] when a word [P] is taken out; NaN for -1."""
        assert self.explanation.words is not None
        rest = [
            text if place == NONE else without_span(text, own.spans[place])
            for text, own, place in zip(texts, self.explanation.words, words.tolist(), strict=True)
        ]
        fall = self._fall(self.image_vectors, encode_texts(self.loaded, rest, batch_size))
        return np.where(words == NONE, np.float32(np.nan), fall)

    def _fall(self, pictures: Tensor, sentences: Tensor) -> np.ndarray:
        measure = measure_of(self.loaded, self.explanation.target)
        # the whole score anew, not the explanation's: under bf16 that one is rounded, by more than a word may carry
        whole, left = (
            measure((images.float() * texts.float()).sum(dim=-1))
            for images, texts in ((self.image_vectors, self.text_vectors), (pictures, sentences))
        )
        return (whole - left).float().cpu().numpy()
