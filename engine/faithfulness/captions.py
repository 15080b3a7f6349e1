"""Words that are taken out of texts, or put in, as strings: for models whose tokenizer reads whole texts (CLIP)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from engine.errors import EngineError
from engine.faithfulness.points import Points, flat_usable, gathered, points_of, ranks
from engine.faithfulness.protocols import Protocol, protocol_of
from engine.words import Span

ScoreTexts = Callable[[Sequence[str], np.ndarray], Tensor | np.ndarray]
"""(texts [n], the samples [n] that they come from) -> scores [n]."""


def with_words(text: str, spans: Sequence[Span], keep: Sequence[bool]) -> str:
    """The text with some of its words only; what stands between words stays, double white space does not."""
    parts, end = [], 0
    for (first, last), kept in zip(spans, keep, strict=True):
        parts += [text[end:first], text[first:last] if kept else " "]
        end = last
    return " ".join("".join([*parts, text[end:]]).split())


@torch.no_grad()
def perturbed_text_scores(
    texts: Sequence[str],
    spans: Sequence[Sequence[Span]],
    maps: Tensor | np.ndarray,
    protocol: str | Protocol,
    score: ScoreTexts,
    batch_size: int = 64,
    usable: Tensor | np.ndarray | None = None,
) -> np.ndarray:
    """Scores at every step of a protocol, most relevant words first, [M, B, K] float64.

    Args:
        texts: B texts.
        spans: the words of each, characters [first, last).
        maps: relevancies of the words, [M, B, W], W being the most words that a text has; what stands beyond a text's
            own words is not looked at.
        protocol: name or protocol; every word may go, special tokens are the tokenizer's.
        score: the model.
        batch_size: texts that the model sees at once.
        usable: maps that are tested, [M, B] boolean; the others get NaN.

    Raises:
        EngineError: another number of texts, or maps with NaN that are not left out.
    """
    chosen, values = protocol_of(protocol), torch.as_tensor(maps)
    if len(texts) != len(spans) or values.dim() != 3 or values.shape[1] != len(texts):
        raise EngineError(
            f"maps of words must be [M, {len(texts)}, W] for as many lists of words, not {list(values.shape)}"
        )
    totals = np.array([len(own) for own in spans], np.int64)
    valid = torch.arange(values.shape[2]) < torch.from_numpy(totals)[:, None]
    tested = flat_usable(usable, values, valid)
    points = points_of(chosen.counts("text", totals), totals, tested)
    places = ranks(values, "positive", valid.expand(values.shape)).numpy()
    written = _written(points, texts, spans, places, chosen.inserts)
    parts = []
    for start in range(0, len(points), batch_size):
        chunk = slice(start, start + batch_size)
        parts.append(score(written[chunk], points.samples[chunk]))
    return points.spread(gathered(parts, len(points)))


def _written(
    points: Points, texts: Sequence[str], spans: Sequence[Sequence[Span]], places: np.ndarray, inserts: bool
) -> list[str]:
    """The text of every point."""
    found = []
    for number, sample, count in zip(points.maps, points.samples, points.counts, strict=True):
        own = spans[sample]
        first = places[number, sample, : len(own)] < count
        found.append(with_words(texts[sample], own, (first if inserts else ~first).tolist()))
    return found
