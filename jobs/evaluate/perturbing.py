"""Perturbation of a run's samples: changed inputs for every method, both directions, and what the model then says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from engine import Explanation
from engine.faithfulness.captions import perturbed_text_scores
from engine.faithfulness.pictures import perturbed_scores
from engine.faithfulness.protocols import Protocol
from engine.faithfulness.tokens import perturbed_token_scores, removable_tokens
from engine.faithfulness.usable import SAME, why_unusable
from engine.models.pairs import PairAdapter
from engine.words import word_relevancy
from jobs.evaluate.scoring import PairScorer, Scorer, black_of
from jobs.evaluate.subject import Chunk, Subject
from jobs.evaluate.variants import Variant, tried

Ask = Callable[..., np.ndarray]
"""(maps [D * M, B, N], usable=[D * M, B]) -> scores [D * M, B, K]."""
READ_OUT_KEPT = (1, 2)
"""VisualBERT is read from the last token but one, under every protocol."""
CONSTANT = "constant"
"""The fixed order: what a map is worth that says nothing."""


@dataclass(frozen=True)
class Setting:
    """What is changed how: a modality, and what removed pixels become ('' for words and regions)."""

    modality: str
    fill: str = ""


@dataclass
class Found:
    """Scores of one variant in one setting: lists of arrays [b, K] per direction, and samples left out by reason."""

    positive: list[np.ndarray] = field(default_factory=list)
    negative: list[np.ndarray] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


class Perturbing:
    """Perturbs chunk after chunk. `found` holds what came of it, by setting and variant name."""

    def __init__(
        self, subject: Subject, protocol: Protocol, compared: Sequence[Variant], fills: Sequence[str], batch_size: int
    ) -> None:
        self.subject, self.protocol, self.batch_size = subject, protocol, batch_size
        self.compared = list(compared)
        self.fills = protocol.fills if protocol.name == "vit" else tuple(fills)
        self.directions = ("positive",) if protocol.inserts else ("positive", "negative")
        self.found: dict[Setting, dict[str, Found]] = {}
        self.notes: list[str] = []

    def add(self, chunk: Chunk) -> None:
        """Explain a chunk by every variant, and change it in the order of every map."""
        explanations = tried(self.compared, partial(self.subject.explain, chunk), self.notes)
        if not explanations:
            return
        first = next(iter(explanations.values()))
        of_pairs = PairScorer(self.subject, chunk) if isinstance(self.subject.loaded.adapter, PairAdapter) else None
        for modality in self.protocol.modalities:
            if modality in first.relevancy:
                for setting, ask, maps, valid in self._asks(modality, chunk, explanations, of_pairs):
                    self._measure(setting, ask, maps, valid, [*explanations, CONSTANT])

    def _asks(
        self, modality: str, chunk: Chunk, explanations: dict[str, Explanation], of_pairs: PairScorer | None
    ) -> list[tuple[Setting, Ask, Tensor, Tensor | None]]:
        """What to measure of a modality: setting, measure, maps [M + 1, B, N], and which tokens count [B, N]."""
        first = next(iter(explanations.values()))
        if modality == "image" and first.regions is None and "features" not in chunk.inputs:
            return self._of_pictures(chunk, explanations, of_pairs)
        if modality == "text" and of_pairs is not None:
            return [self._of_captions(chunk, explanations, of_pairs)]
        if "image" in chunk.inputs:
            self.notes.append("the words of models that read a picture's pixels beside them are not taken out")
            return []
        return [self._of_tokens(modality, chunk, explanations)]

    def _of_pictures(
        self, chunk: Chunk, explanations: dict[str, Explanation], of_pairs: PairScorer | None
    ) -> list[tuple[Setting, Ask, Tensor, Tensor | None]]:
        first = next(iter(explanations.values()))
        preprocess = self.subject.loaded.preprocess
        if first.grid is None or first.grids is not None or preprocess is None or "pixel_mask" in chunk.inputs:
            self.notes.append("pictures that differ in size as the model reads them are not perturbed")
            return []
        score = of_pairs or Scorer(self.subject, chunk, first, self.protocol.score)
        images = chunk.inputs["image"].to(self.subject.device)
        maps = _stacked(explanations, "image")
        asks: list[tuple[Setting, Ask, Tensor, Tensor | None]] = []
        for fill in self.fills:
            colour = black_of(preprocess) if fill == "black" else fill
            ask = partial(
                perturbed_scores,
                images,
                grid=first.grid,
                protocol=self.protocol,
                direction="positive",
                score=score.of_pictures,
                fill=colour,
                batch_size=self.batch_size,
            )
            asks.append((Setting("image", fill), ask, maps, None))
        return asks

    def _of_captions(
        self, chunk: Chunk, explanations: dict[str, Explanation], score: PairScorer
    ) -> tuple[Setting, Ask, Tensor, Tensor | None]:
        assert chunk.texts is not None
        words = next(iter(explanations.values())).words
        assert words is not None
        most = max(1, *(len(own.spans) for own in words))
        maps = torch.ones(len(explanations) + 1, len(chunk), most)  # the last one stays as it is: the fixed order
        for number, one in enumerate(explanations.values()):
            for row, own in enumerate(words):
                maps[number, row, : len(own.spans)] = word_relevancy(one.relevancy["text"][row].float().cpu(), own)
        valid = torch.tensor([[k < len(own.spans) for k in range(most)] for own in words])
        spans = [own.spans for own in words]
        ask = partial(
            perturbed_text_scores,
            chunk.texts,
            spans,
            protocol=self.protocol,
            score=score.of_texts,
            batch_size=self.batch_size,
        )
        return Setting("text"), ask, maps, valid

    def _of_tokens(
        self, modality: str, chunk: Chunk, explanations: dict[str, Explanation]
    ) -> tuple[Setting, Ask, Tensor, Tensor | None]:
        loaded, first = self.subject.loaded, next(iter(explanations.values()))
        batch = loaded.adapter.prepare(loaded.model, chunk.given, loaded.tokenizer)
        kept = READ_OUT_KEPT if loaded.family == "visualbert" else self.protocol.kept
        free = removable_tokens(batch, modality, kept)
        score = Scorer(self.subject, chunk, first, self.protocol.score)
        ask = partial(
            perturbed_token_scores,
            batch,
            modality=modality,
            protocol=self.protocol,
            direction="positive",
            score=score.of_batch,
            batch_size=self.batch_size,
            removable=free,
        )
        return Setting(modality), ask, _stacked(explanations, modality), free

    def _measure(self, setting: Setting, ask: Ask, maps: Tensor, valid: Tensor | None, names: list[str]) -> None:
        """Ask in all directions at once, and keep the curves of samples whose map gives an order."""
        reasons = [why_unusable(own, valid) for own in maps]
        reasons[-1] = [None if reason == SAME else reason for reason in reasons[-1]]
        usable = np.array([[reason is None for reason in own] for own in reasons])
        directed = torch.cat([maps, -maps]) if len(self.directions) > 1 else maps
        scores = ask(directed, usable=np.concatenate([usable] * len(self.directions)))
        scores = scores.reshape(len(self.directions), len(names), *scores.shape[1:])
        kept = self.found.setdefault(setting, {})
        for number, name in enumerate(names):
            own = kept.setdefault(name, Found())
            own.skipped.update(reason for reason in reasons[number] if reason is not None)
            own.positive.append(scores[0, number][usable[number]])
            if len(self.directions) > 1:
                own.negative.append(scores[1, number][usable[number]])


def _stacked(explanations: dict[str, Explanation], modality: str) -> Tensor:
    """Maps [M + 1, B, N] of every variant, and of the fixed order."""
    maps = [one.relevancy[modality].float() for one in explanations.values()]
    return torch.stack([*maps, torch.ones_like(maps[0])])
