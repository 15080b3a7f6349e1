"""The training loop: a short lesson of small scenes and plain questions, then the whole difficulty."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.questions.examples import examples
from benchmarks.questions.tables import Table, table
from engine.models import find_adapter

Report = Callable[[int, int, float, float], None]


@dataclass(frozen=True)
class Recipe:
    """How a model is trained. Steps of the first lesson (3 to 5 things, no words around) and of the second."""

    first: int
    second: int
    batch: int = 64
    rate: float = 1e-3
    decay: float = 0.01
    warm_up: int = 100
    pool: int = 40_000
    """Examples of a lesson, at most; each is met again with other noise."""


def lessons(recipe: Recipe, seed: int, tokenizer: Any) -> Iterator[tuple[int, Table]]:
    """Steps and examples of each lesson."""
    first, second = (min(recipe.pool, steps * recipe.batch) for steps in (recipe.first, recipe.second))
    yield recipe.first, table(examples(first, seed, fewest=3, most=5, easy=True), tokenizer)
    yield recipe.second, table(examples(second, seed), tokenizer)


def fit(model: nn.Module, recipe: Recipe, seed: int, tokenizer: Any, report: Report) -> None:
    """Train a model in place; `report(step, steps, loss, accuracy)` of each batch. The same seed, the same weights."""
    adapter, noise = find_adapter(model), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.decay, betas=(0.9, 0.98))
    steps, step = recipe.first + recipe.second, 0
    model.train()
    for count, data in lessons(recipe, seed, tokenizer):
        for rows in batches(len(data), recipe.batch, count, noise):
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate * slope(step, steps, recipe.warm_up)
            logits = adapter.forward(model, data.batch(rows, noise)).logits
            assert logits is not None
            loss = F.cross_entropy(logits, data.answers[rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            report(step, steps, loss.item(), (logits.argmax(1) == data.answers[rows]).float().mean().item())
    model.eval()


def slope(step: int, steps: int, warm_up: int) -> float:
    """Share of the rate: a linear rise, then a cosine to zero."""
    return min(1.0, (step + 1) / warm_up) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


def batches(count: int, size: int, steps: int, random: torch.Generator) -> Iterator[Tensor]:
    """So many shuffled batches of row numbers [size], whole ones, in as many rounds as it takes."""
    left = steps
    while left > 0:
        order = torch.randperm(count, generator=random)
        whole = [order[at : at + size] for at in range(0, count - size + 1, size)][:left]
        yield from whole
        left -= len(whole)


def accuracy(model: nn.Module, data: Table, seed: int, shuffled: bool = False) -> dict[str, float]:
    """Share of right answers: of all (`all`), and per kind of question.

    Args:
        model: in evaluation mode.
        data: examples that training did not see.
        seed: of the noise, and of the shuffling.
        shuffled: every question meets the scene of another one, so that only its words can help.
    """
    adapter, noise = find_adapter(model), torch.Generator().manual_seed(seed)
    scenes = torch.randperm(len(data), generator=noise) if shuffled else torch.arange(len(data))
    right: list[np.ndarray] = []
    with torch.no_grad():
        for rows in torch.arange(len(data)).split(250):
            logits = adapter.forward(model, data.batch(rows, noise, scenes[rows])).logits
            assert logits is not None
            right.append((logits.argmax(1) == data.answers[rows]).numpy())
    hits = np.concatenate(right)
    return {"all": float(hits.mean()), **{str(k): float(hits[data.kinds == k].mean()) for k in np.unique(data.kinds)}}
