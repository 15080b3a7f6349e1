"""Words taken out of texts as strings: each curve is that of a plain loop, and every different text is scored once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from engine.errors import EngineError
from engine.faithfulness.captions import perturbed_text_scores, with_words
from engine.faithfulness.protocols import PROTOCOLS
from engine.words import word_spans

TEXTS = ["a red boat, on the sea", "two dogs", "snow"]
WORTH = {"boat": 4.0, "red": 2.0, "sea": 1.0, "dogs": 8.0, "snow": 3.0}


class Model:
    """Adds up what the words are worth; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str], rows: np.ndarray) -> np.ndarray:
        self.asked += texts
        assert len(texts) == len(rows) <= 4
        return np.array([sum(WORTH.get(text[a:b], 0.0) for a, b in word_spans(text)) for text in texts])


def maps_of(values: Sequence[Sequence[float]], most: int) -> torch.Tensor:
    return torch.tensor([[*own, *[float("nan")] * (most - len(own))] for own in values])


@pytest.mark.parametrize("name", ["deletion", "insertion"])
def test_curves_are_those_of_a_plain_loop(name: str) -> None:
    protocol, spans = PROTOCOLS[name], [word_spans(text) for text in TEXTS]
    most = max(map(len, spans))
    rng = np.random.default_rng(0)
    values = [[rng.random(len(own)).tolist() for own in spans] for _ in range(3)]
    maps = torch.stack([maps_of(own, most) for own in values])
    model = Model()
    found = perturbed_text_scores(TEXTS, spans, maps, protocol, model, batch_size=4)
    assert found.shape == (3, 3, len(protocol.steps["text"]))
    for number, own in enumerate(values):
        for row, relevancy in enumerate(own):
            order = sorted(range(len(relevancy)), key=lambda k: -relevancy[k])
            for step, share in enumerate(protocol.steps["text"]):
                first = set(order[: int(share * len(relevancy))])
                kept = [k for k in range(len(relevancy)) if (k in first) == protocol.inserts]
                words = [TEXTS[row][a:b] for a, b in spans[row]]
                assert found[number, row, step] == sum(WORTH.get(words[k], 0.0) for k in kept)
    assert len(model.asked) < found.size / 2  # whole and empty texts are shared, and steps that take nothing more


def test_the_best_order_is_best() -> None:
    spans = [word_spans(text) for text in TEXTS[:1]]
    worth = [WORTH.get(TEXTS[0][a:b], 0.0) for a, b in spans[0]]
    maps = torch.tensor([[worth], [[-value for value in worth]], [[1.0] * len(worth)]])
    best, worst, fixed = perturbed_text_scores(TEXTS[:1], spans, maps, "deletion", Model(), 4)[:, 0].mean(axis=1)
    assert best < fixed < worst


def test_what_is_between_words_stays() -> None:
    text = "a  red boat, on\nthe sea"
    spans = word_spans(text)
    assert with_words(text, spans, [True] * 6) == "a red boat, on the sea"
    assert with_words(text, spans, [True, False, True, False, True, True]) == "a boat, the sea"
    assert with_words(text, spans, [False] * 6) == ","
    assert with_words("", [], []) == ""


def test_maps_without_an_order_are_refused_or_left_out() -> None:
    spans = [word_spans(text) for text in TEXTS]
    maps = torch.full((1, 3, 6), torch.nan)
    with pytest.raises(EngineError, match="NaN"):
        perturbed_text_scores(TEXTS, spans, maps, "deletion", Model())
    found = perturbed_text_scores(TEXTS, spans, maps, "deletion", Model(), usable=np.zeros((1, 3), bool))
    assert np.isnan(found).all()
    with pytest.raises(EngineError, match="maps of words"):
        perturbed_text_scores(TEXTS, spans[:2], maps, "deletion", Model())
