"""Scores: what is measured when part of the input is gone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Measure = Callable[[Tensor, Tensor], Tensor]
"""(logits [n, C], what they are measured against) -> [n] float32 (float64 of such logits)."""


def accuracy(logits: Tensor, classes: Tensor) -> Tensor:
    """1 where the largest logit [n, C] is that of the class [n] (the label, or what was predicted at first), else 0."""
    return _wide(logits.argmax(dim=1) == classes.to(logits.device), logits)


def probability(logits: Tensor, classes: Tensor) -> Tensor:
    """Softmax probability of the class [n]."""
    return score(torch.softmax(_wide(logits, logits), dim=1), classes)


def score(logits: Tensor, classes: Tensor) -> Tensor:
    """The logit of the class [n] as it is."""
    return _wide(logits.gather(1, classes.to(logits.device)[:, None]).squeeze(1), logits)


def soft_accuracy(logits: Tensor, credits: Tensor) -> Tensor:
    """What the annotators give for the answer with the largest logit: credits [n, C] of 0 to 1, zero for most answers
    (VQA v2: min(how many gave it / 3, 1))."""
    return _wide(credits.to(logits.device).gather(1, logits.argmax(dim=1, keepdim=True)).squeeze(1), logits)


SCORES: dict[str, Measure] = {
    "accuracy": accuracy,
    "probability": probability,
    "score": score,
    "soft_accuracy": soft_accuracy,
}


def _wide(values: Tensor, like: Tensor) -> Tensor:
    return values.to(torch.float64 if like.dtype == torch.float64 else torch.float32)
