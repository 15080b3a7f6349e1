"""The pictures, texts and model of an image-text run: its scores on changed pictures and changed texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from engine import Explanation, explain_pairs, explain_targets
from engine.interventions.words import without_span, without_word
from engine.models.embedding import encode_images, encode_texts, two_towers
from engine.models.side import ImageSide
from engine.pairs import measure_of
from engine.targets import Change, Toward
from jobs.suspects.material import Material
from jobs.suspects.pairs.gather import GatheredPairs

Score = Callable[[Tensor], np.ndarray]
"""Model inputs [B, 3, H, W] -> [B, 2]: the score of each with its text, and the score from which a pair is called
fitting; both in units (``GatheredPairs.unit``)."""


@dataclass(frozen=True)
class PairSubject:
    """Scores of a run's model. `start_layer` is the run's."""

    material: Material
    gathered: GatheredPairs
    start_layer: int

    @property
    def image_half(self) -> Material:
        """The same pictures with the image tower alone."""
        return replace(
            self.material, loaded=replace(self.material.loaded, adapter=ImageSide(two_towers(self.material.loaded)))
        )

    def images(self, rows: Sequence[int] | np.ndarray) -> tuple[np.ndarray, Tensor]:
        """Those of the pairs whose picture can be read, and their model inputs [B, 3, H, W]."""
        ids = [int(self.gathered.ids[row]) for row in rows]
        found, pictures = self.material.pictures(ids)
        if not found:
            return np.zeros(0, np.int64), torch.zeros(0)
        good = set(found)
        kept = np.array([row for row, sample in zip(rows, ids, strict=True) if sample in good], np.int64)
        return kept, self.material.inputs(pictures)

    def image_vectors(self, images: Tensor) -> Tensor:
        """Unit vectors [B, D]."""
        return encode_images(self.material.loaded, images, self.material.batch_size)

    def text_vectors(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors [B, D]."""
        return encode_texts(self.material.loaded, texts, self.material.batch_size)

    @torch.no_grad()
    def scores(self, pictures: Tensor, sentences: Tensor) -> np.ndarray:
        """Scores [B] of unit vectors [B, D], in units."""
        cosines = (pictures.float() * sentences.float()).sum(dim=-1)
        measured = measure_of(self.material.loaded, self.gathered.target)(cosines)
        return np.asarray(measured.float().cpu().numpy() / self.gathered.unit)

    def answers(self, scores: np.ndarray, sign: int = 1) -> np.ndarray:
        """Scores [B] beside the score from which a pair fits, [B, 2]; with sign -1 both turned round."""
        middle = np.full(len(scores), self.gathered.middle / self.gathered.unit)
        return sign * np.stack([scores, middle], axis=1)

    def of_pictures(self, texts: Sequence[str], sign: int = 1) -> Score:
        """The scores of changed pictures, [B, 3, H, W], each with its text."""
        sentences = self.text_vectors(texts)
        return lambda images: self.answers(self.scores(self.image_vectors(images), sentences), sign)

    def of_texts(self, rows: np.ndarray, sign: int = 1) -> Callable[[Sequence[str]], np.ndarray]:
        """The scores of changed texts, each with the picture of its pair."""
        device = next(self.material.loaded.model.parameters()).device
        pictures = torch.from_numpy(self.gathered.images[rows]).to(device)
        return lambda texts: self.answers(self.scores(pictures, self.text_vectors(texts)), sign)

    def against(self, images: Tensor, texts: Sequence[str], patches: int) -> Explanation:
        """What holds the scores down, with the states of the strongest patches."""
        return explain_pairs(
            self.material.loaded,
            images,
            texts,
            target="against",
            start_layer=self.start_layer,
            patches=patches,
        ).explanation

    def linked(self, images: Tensor, texts: Sequence[str], word: str, patches: int) -> Explanation:
        """What speaks for a word in each picture: the change of its score when the word is taken out of its text, or
        put into it where it is not. Through all layers: patches that merely pass the last one on look like others."""
        having = [without_word(text, word) for text in texts]
        longer = [text if rest != text else f"{word} {text}" for text, rest in zip(texts, having, strict=True)]
        target = Change(Toward(self.text_vectors(longer)), Toward(self.text_vectors(having)), "word")
        loaded = self.image_half.loaded
        return explain_targets(loaded, images, [target], patches=patches)[0]

    def rises(self, row: int) -> tuple[list[str], np.ndarray]:
        """The words of a text, and how far the score of its pair rises without each, in units."""
        text, tokenizer = self.gathered.texts[row], self.material.loaded.tokenizer
        assert tokenizer is not None
        words = tokenizer.words(text, [True] * tokenizer.context)
        shorter = [text, *(without_span(text, span) for span in words.spans)]
        pictures = torch.from_numpy(self.gathered.images[[row] * len(shorter)])
        sentences = self.text_vectors(shorter)
        scores = self.scores(pictures.to(sentences.device), sentences)
        return [word.lower() for word in words.texts(text)], scores[1:] - scores[0]
