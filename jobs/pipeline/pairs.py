"""Second stage for image-text models with two towers: pictures and texts that repeat in a batch are encoded once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine import Explanation, LoadedModel
from engine.interventions.scores import Deletion, deletion
from engine.pairs import Pairs, explain_pairs
from jobs.reference import percentiles
from jobs.targets import Target


@dataclass(frozen=True)
class PairSettings:
    """What is stored of pairs besides their maps.

    `words`: of so many words of each text, what the score owes to them; `evidence`: what deletion says; `reference`:
    scores of shuffled pairs (empty: no percentiles); `text_start_layer`: first explained layer of the text tower, None
    for that of the image tower.
    """

    words: int = 0
    evidence: bool = False
    reference: dict[str, Any] = field(default_factory=dict)
    text_start_layer: int | None = None


@dataclass(frozen=True)
class PairFacts:
    """What is known of B pairs besides their maps, as arrays and lists over B.

    `vectors` per modality [B, D] float32; `drops` per column of the store, float32 [B]; `dropped` the words that
    `drop_word` is about; `word` the word of a target 'word-K'.
    """

    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    drops: dict[str, np.ndarray] = field(default_factory=dict)
    dropped: list[str | None] | None = None
    word: list[str | None] | None = None
    percentile: np.ndarray | None = None

    def taken(self, rows: np.ndarray) -> PairFacts:
        """The pairs at positions `rows`."""
        return PairFacts(
            vectors={name: values[rows] for name, values in self.vectors.items()},
            drops={name: values[rows] for name, values in self.drops.items()},
            dropped=_taken(self.dropped, rows),
            word=_taken(self.word, rows),
            percentile=None if self.percentile is None else self.percentile[rows],
        )


def explained_pairs(
    loaded: LoadedModel,
    images: Tensor,
    uris: list[str],
    texts: list[str],
    ids: np.ndarray,
    target: Target,
    settings: PairSettings,
    **options: Any,
) -> list[tuple[Target, Explanation, PairFacts]]:
    """Explain B pairs and what the score owes to single words; `options` are those of `engine.pairs.explain_pairs`.

    Rows with the same `uris` have the same picture.
    """
    pictures, first_picture = _distinct(uris)
    sentences, first_text = _distinct(texts)
    pairs = torch.tensor(list(zip(pictures, sentences, strict=True)))
    own = images if len(first_picture) == len(images) else images[first_picture]
    distinct = [texts[row] for row in first_text]
    found = explain_pairs(
        loaded,
        own,
        distinct,
        pairs,
        target=target.name,
        words=settings.words,
        text_start_layer=settings.text_start_layer,
        **options,
    )
    images_of, texts_of = found.image_vectors[pairs[:, 0]], found.text_vectors[pairs[:, 1]]
    dropped = None
    if settings.evidence:
        dropped = deletion(loaded, images, texts, images_of, texts_of, found.explanation, ids.tolist())
    facts = _facts(found, texts, images_of, texts_of, dropped, settings)
    links = [
        (Target(link.target), link, PairFacts(word=_words(found.explanation, texts, places)))
        for link, places in zip(found.links, found.link_words, strict=True)
    ]
    return [(target, found.explanation, facts), *links]


def _facts(
    found: Pairs,
    texts: list[str],
    images_of: Tensor,
    texts_of: Tensor,
    dropped: Deletion | None,
    settings: PairSettings,
) -> PairFacts:
    score = found.explanation.score.float().cpu().numpy()
    drops: dict[str, np.ndarray] = {}
    if dropped is not None:
        drops = {f"drop_{fill}": values for fill, values in dropped.patches.items()}
        drops |= {f"drop_{fill}_random": values for fill, values in dropped.patches_random.items()}
        drops |= {"drop_word": dropped.word, "drop_word_random": dropped.word_random}
    return PairFacts(
        vectors={"image": images_of.float().cpu().numpy(), "text": texts_of.float().cpu().numpy()},
        drops=drops,
        dropped=None if dropped is None else _words(found.explanation, texts, dropped.words),
        percentile=percentiles(score, settings.reference) if settings.reference else None,
    )


def _words(explanation: Explanation, texts: list[str], places: np.ndarray) -> list[str | None]:
    """The words at positions `places` [B] of the texts, None for -1."""
    assert explanation.words is not None
    found: list[str | None] = []
    for text, words, place in zip(texts, explanation.words, places.tolist(), strict=True):
        found.append(None if place < 0 else text[slice(*words.spans[place])])
    return found


def _distinct(values: list[str]) -> tuple[list[int], list[int]]:
    """Number of each value among the distinct ones, and the first row of each of these."""
    number: dict[str, int] = {}
    for value in values:
        number.setdefault(value, len(number))
    numbers = [number[value] for value in values]
    first = {n: row for row, n in reversed(list(enumerate(numbers)))}
    return numbers, [first[n] for n in range(len(number))]


def _taken(values: list[str | None] | None, rows: np.ndarray) -> list[str | None] | None:
    return None if values is None else [values[row] for row in rows]
