"""Image-text pairs that share pictures or texts: each tower runs once per picture and once per text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import EngineError, UnknownName
from engine.explain import explain_targets
from engine.explanation import Explanation
from engine.interventions.words import without_span
from engine.methods import DirectMethod, Method, make_method
from engine.models import find_adapter
from engine.models.loading import LoadedModel
from engine.models.pairs import PairAdapter
from engine.models.side import ImageSide, TextSide
from engine.models.tokens import as_tokenizer
from engine.patches import Patches
from engine.request import Request
from engine.running import run
from engine.targets import Change, Output, Target, Toward, clip_score
from engine.words import word_relevancy

TARGETS = ("clip-logit", "clip-score", "against")


@dataclass(frozen=True)
class Pairs:
    """P explained pairs of U pictures and V texts.

    Attributes:
        explanation: of the score of each pair, both modalities, [P, ...].
        links: for K words of each text, where the picture carries the change of the score when the word is taken out:
            explanations "word-1", ... of the image alone, strongest word first, or in the order in which words were
            given; ``kept`` [P] says which texts have so many words, or the word.
        link_words: per link, the position of the word of each pair in ``explanation.words``, [P]; -1 without one.
        image_vectors, text_vectors: unit vectors [U, D], [V, D].
    """

    explanation: Explanation
    links: list[Explanation]
    link_words: list[np.ndarray]
    image_vectors: Tensor
    text_vectors: Tensor


def explain_pairs(
    model: nn.Module | LoadedModel,
    images: Tensor,
    texts: Sequence[str],
    pairs: Tensor | None = None,
    *,
    target: str = "clip-score",
    words: int | Sequence[str] = 0,
    method: str | Method = "gae",
    start_layer: int = 0,
    text_start_layer: int | None = None,
    tokenizer: Any = None,
    patches: int = 0,
) -> Pairs:
    """Explain the score of pairs; every picture and every text is encoded once, whatever it is paired with.

    The numbers are those of ``explain`` on the pairs one by one.

    Args:
        model: a two-tower model (CLIP, SigLIP, CoCa), or what ``load_model`` returned.
        images: [U, 3, H, W].
        texts: V strings.
        pairs: [P, 2] positions of image and text; default: image i with text i.
        target: "clip-logit", "clip-score", or "against": minus the cosine, whose map shows what holds the score down.
        words: also explain the change of the score when a word is taken out: each of so many of the most relevant
            words, or each of the given ones (in any case; the first place where a text has it).
        method, start_layer, tokenizer, patches: as in ``explain_targets``.
        text_start_layer: first layer that takes part in the text tower; default: ``start_layer``.

    Raises:
        EngineError: the model has no towers of its own for pictures and texts, or as in ``explain_targets``.
    """
    loaded = _as_loaded(model, tokenizer)
    if pairs is None:
        if len(images) != len(texts):
            raise EngineError(f"{len(images)} images but {len(texts)} texts: row i of both must belong together")
        pairs = torch.arange(len(images))[:, None].expand(-1, 2)
    _check_pairs(pairs, len(images), len(texts))
    chosen = make_method(method)
    if target not in TARGETS:
        raise UnknownName("target of pairs", target, TARGETS)
    if words:
        check_words(chosen)
    if is_whole(chosen):
        if target == "against":
            raise EngineError(f"method {chosen.name!r} cannot explain what holds a score down; gae can")
        if text_start_layer not in (None, start_layer):
            raise EngineError(f"method {chosen.name!r} has one start layer for both towers")
        return _one_by_one(loaded, images, list(texts), pairs, target, chosen, start_layer, patches)
    text_start_layer = start_layer if text_start_layer is None else text_start_layer
    starts: dict[type[ImageSide] | type[TextSide], int] = {ImageSide: start_layer, TextSide: text_start_layer}
    work = _Work(loaded, images, list(texts), pairs, target, chosen, starts, patches)
    return work.explained(words)


def check_words(method: str | Method) -> None:
    """Refuse a method that cannot tell what a score owes to a single word.

    Raises:
        EngineError: its maps are the same for every word, or relevance flows through both towers at once.
    """
    chosen = make_method(method)
    if is_whole(chosen):
        raise EngineError(f"method {chosen.name!r} cannot explain single words; gae can")
    if not chosen.needs_gradient:
        raise EngineError(f"method {chosen.name!r} gives the same map for every word; choose one that uses gradients")


def is_whole(method: str | Method) -> bool:
    """Whether relevance flows through the whole model, so that nothing can be shared between pairs, and both towers
    have one start layer."""
    chosen = make_method(method)
    return bool(chosen.lrp) or isinstance(chosen, DirectMethod)


def _check_pairs(pairs: Tensor, images: int, texts: int) -> None:
    shaped = pairs.dim() == 2 and pairs.shape[1] == 2 and len(pairs) > 0
    if not shaped or bool((pairs < 0).any() or (pairs >= pairs.new_tensor([images, texts])).any()):
        raise EngineError(f"pairs must be [P, 2], P > 0, positions among {images} images and {texts} texts")


def measure_of(loaded: LoadedModel, target: str) -> Callable[[Tensor], Tensor]:
    """From cosines to scores of a target, elementwise."""
    adapter = loaded.adapter
    assert isinstance(adapter, PairAdapter)
    if target == "against":
        return torch.neg
    return clip_score if target == "clip-score" else partial(adapter.pair_logits, loaded.model)


def _as_loaded(model: nn.Module | LoadedModel, tokenizer: Any) -> LoadedModel:
    if isinstance(model, LoadedModel):
        loaded = model
    else:
        loaded = LoadedModel(model, type(model).__name__, find_adapter(model), None, None, None)
    if not isinstance(loaded.adapter, PairAdapter):
        raise EngineError(f"{type(loaded.model).__name__} has no towers of its own for pictures and texts; use explain")
    if tokenizer is None:
        return loaded
    return replace(loaded, tokenizer=as_tokenizer(tokenizer, loaded.adapter.text_limits(loaded.model)[1]))


def _one_by_one(
    loaded: LoadedModel,
    images: Tensor,
    texts: list[str],
    pairs: Tensor,
    target: str,
    method: Method,
    start_layer: int,
    patches: int,
) -> Pairs:
    """Every pair with a picture and a text of its own."""
    adapter, module = loaded.adapter, loaded.model
    given = {"image": images[pairs[:, 0]], "text": [texts[j] for j in pairs[:, 1].tolist()]}
    found = explain_targets(loaded, given, [target], method=method, start_layer=start_layer, patches=patches)[0]
    assert isinstance(adapter, PairAdapter)
    with torch.no_grad(), adapter.scope(module), loaded.autocast():
        pictures = adapter.embed_images(module, adapter.prepare_images(module, images))
        batch = adapter.prepare_texts(module, texts, loaded.tokenizer)
        sentences = adapter.embed_texts(module, adapter.shortened(module, batch))
    return Pairs(found, [], [], pictures, sentences)


class _Rounds:
    """Which pair each item (a picture, or a text) is in, round after round; an item of n pairs takes n rounds."""

    def __init__(self, items: Tensor, count: int) -> None:
        """`items` [P]: the item of each pair, of `count`."""
        self.items = items
        self.turn = torch.zeros_like(items)
        seen = [0] * count
        for pair, item in enumerate(items.tolist()):
            self.turn[pair] = seen[item]
            seen[item] += 1
        self.pairs = torch.zeros(max(seen, default=0), count, dtype=torch.long)  # an item without a pair: any will do
        self.pairs[self.turn, items] = torch.arange(len(items))

    def gathered(self, rounds: Sequence[Tensor]) -> Tensor:
        """Rows of the pairs, [P, ...], from what each round gave of every item, [count, ...]."""
        return torch.stack(list(rounds))[self.turn.to(rounds[0].device), self.items.to(rounds[0].device)]


@dataclass(frozen=True)
class _Work:
    loaded: LoadedModel
    images: Tensor
    texts: list[str]
    pairs: Tensor
    target: str
    method: Method
    start_layers: dict[type[ImageSide] | type[TextSide], int]
    patches: int

    def explained(self, words: int | Sequence[str]) -> Pairs:
        """The image tower runs; while its graph waits, the text tower runs and is explained; then the image is."""
        measure = measure_of(self.loaded, self.target)
        of_image, of_text = _Rounds(self.pairs[:, 0], len(self.images)), _Rounds(self.pairs[:, 1], len(self.texts))
        kept: dict[str, Any] = {}

        def find(output: Output) -> list[Target]:
            assert output.embeds is not None
            pictures = output.embeds.detach()
            sentences, text = self._text(pictures, of_text, measure)
            kept.update(pictures=pictures, sentences=sentences, text=text)
            kept["words"], shorter = self._without_words(text, words)
            own = [Toward(sentences[self._texts_of(row)], measure, self.target) for row in of_image.pairs]
            links = [
                Change(target, Toward(vectors[row.to(vectors.device)], measure), f"word-{k + 1}")
                for k, vectors in enumerate(shorter)
                for target, row in zip(own, of_image.pairs, strict=True)
            ]
            return [*own, *links]

        request = self._request(ImageSide, self.images)
        with request.scope():
            rounds = run(request, find)
        return self._put_together(of_image, rounds, **kept)

    def _texts_of(self, pairs: Tensor) -> Tensor:
        return self.pairs[pairs, 1]

    def _request(self, side: type[ImageSide] | type[TextSide], inputs: Any) -> Request:
        adapter = self.loaded.adapter
        assert isinstance(adapter, PairAdapter)
        half = replace(self.loaded, adapter=side(adapter))
        patches = self.patches if side is ImageSide else 0
        return Request.make(half, inputs, self.method, self.start_layers[side], None, "auto", False, "authors", patches)

    def _text(
        self, pictures: Tensor, rounds: _Rounds, measure: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Explanation]:
        """Vectors of the texts [V, D], and the explanation of each pair on its text."""
        vectors: list[Tensor] = []

        def find(output: Output) -> list[Target]:
            assert output.embeds is not None
            vectors.append(output.embeds.detach())
            return [Toward(pictures[self.pairs[row, 0]], measure, self.target) for row in rounds.pairs]

        request = self._request(TextSide, {"text": self.texts})
        with request.scope():
            found = run(request, find)
        first, texts = found[0], self.pairs[:, 1].tolist()
        explanation = replace(
            first,
            relevancy={"text": rounds.gathered([e.relevancy["text"] for e in found])},
            features={"text": rounds.gathered([e.features["text"] for e in found])},
            tokens=None if first.tokens is None else [first.tokens[j] for j in texts],
            words=None if first.words is None else [first.words[j] for j in texts],
        )
        return vectors[0], explanation

    @torch.no_grad()
    def _without_words(self, text: Explanation, wanted: int | Sequence[str]) -> tuple[list[np.ndarray], list[Tensor]]:
        """Positions [P] of words in each pair's text (-1 where it has no such word): of the most relevant ones,
        strongest first, or of given ones; and per word the vectors of the texts without it, [P, D]."""
        count = wanted if isinstance(wanted, int) else len(wanted)
        chosen = [np.full(len(self.pairs), -1) for _ in range(count)]
        if not count:
            return [], []
        for pair, values in enumerate(text.relevancy["text"].float().cpu().numpy()):
            for k, word in enumerate(self._places(text, pair, values, wanted)):
                chosen[k][pair] = word
        adapter, module = self.loaded.adapter, self.loaded.model
        assert isinstance(adapter, PairAdapter)
        shorter = []
        for places in chosen:
            rest = [self._without(text, pair, word) for pair, word in enumerate(places.tolist())]
            batch = adapter.shortened(module, adapter.prepare_texts(module, rest, self.loaded.tokenizer))
            with self.loaded.autocast():
                shorter.append(adapter.embed_texts(module, batch))
        return chosen, shorter

    def _places(self, text: Explanation, pair: int, values: np.ndarray, wanted: int | Sequence[str]) -> list[int]:
        """Positions of the wanted words in the text of one pair."""
        assert text.words is not None
        words = text.words[pair]
        if isinstance(wanted, int):
            order = np.argsort(-word_relevancy(values, words), kind="stable")
            return [int(place) for place in order[:wanted]]
        own = [word.lower() for word in words.texts(self.texts[int(self.pairs[pair, 1])])]
        return [own.index(word.lower()) if word.lower() in own else -1 for word in wanted]

    def _without(self, text: Explanation, pair: int, word: int) -> str:
        assert text.words is not None
        whole = self.texts[int(self.pairs[pair, 1])]
        return whole if word < 0 else without_span(whole, text.words[pair].spans[word])

    def _put_together(
        self,
        of_image: _Rounds,
        rounds: list[Explanation],
        *,
        pictures: Tensor,
        sentences: Tensor,
        text: Explanation,
        words: list[np.ndarray],
    ) -> Pairs:
        per_target = len(of_image.pairs)
        image, *links = [
            _gathered(of_image, rounds[start : start + per_target]) for start in range(0, len(rounds), per_target)
        ]
        cosine = (pictures[self.pairs[:, 0]] * sentences[self.pairs[:, 1]]).sum(dim=-1)
        adapter = self.loaded.adapter
        assert isinstance(adapter, PairAdapter)
        whole = replace(
            image,
            relevancy=image.relevancy | text.relevancy,
            features=image.features | text.features,
            tokens=text.tokens,
            words=text.words,
            logits=adapter.pair_logits(self.loaded.model, cosine).detach(),
            cosine=cosine,
        )
        found = [replace(one, kept=torch.from_numpy(places >= 0)) for one, places in zip(links, words, strict=True)]
        return Pairs(whole, found, words, pictures, sentences)


def _gathered(rounds: _Rounds, found: list[Explanation]) -> Explanation:
    """The pairs' explanations on their pictures, from those of all rounds."""
    first = found[0]
    patches = None
    if first.patches is not None:
        names = ("tokens", "states", "rest", "valid")
        parts = {name: rounds.gathered([getattr(e.patches, name) for e in found]) for name in names}
        patches = Patches(**parts)
    return replace(
        first,
        relevancy={"image": rounds.gathered([e.relevancy["image"] for e in found])},
        features={"image": rounds.gathered([e.features["image"] for e in found])},
        score=rounds.gathered([e.score for e in found]),
        patches=patches,
    )
