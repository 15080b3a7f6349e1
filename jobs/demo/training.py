"""What both demo models share in training: inputs, thinning of tokens, the dense side task, the loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jobs.demo.examples import GRID
from jobs.demo.objects import CLASSES

MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)
BACKGROUND = len(CLASSES)
"""Class index of a token cell without subject in the side task."""
IGNORED = -100
"""Class index of a token cell that the side task leaves out; cross-entropy's own."""


@dataclass(frozen=True)
class Recipe:
    """How long and how fast a model is trained. `keep` is the share of patch tokens it sees in a step."""

    examples: int
    epochs: int
    batch: int
    rate: float
    keep: float = 0.5
    decay: float = 0.05
    warm_up: int = 150
    side_task: float = 0.3


def to_input(images: np.ndarray | Tensor) -> Tensor:
    """Pictures [B,96,96,3] uint8 as normalised model input [B,3,96,96] float32."""
    pixels = torch.as_tensor(images).permute(0, 3, 1, 2).float() / 255
    return (pixels - MEAN[0]) / STD[0]


def vary_light(inputs: Tensor) -> Tensor:
    """Random contrast and colour cast per picture. Nothing moves: corners and borders stay where they are."""
    count = len(inputs)
    return inputs * (1 + 0.2 * torch.randn(count, 1, 1, 1)) + 0.2 * torch.randn(count, 3, 1, 1)


def position_codes(width: int) -> Tensor:
    """Sine and cosine codes of the 12 x 12 cells [144, width], a start from which positions are learnt sooner."""
    waves = 1 / 10 ** (torch.arange(width // 4) / (width // 4) * 1.5)
    rows, columns = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
    turns = [axis.flatten()[:, None] * waves for axis in (rows.float(), columns.float())]
    return 0.3 * torch.cat([part(turn) for turn in turns for part in (torch.sin, torch.cos)], dim=1)


def thin(states: Tensor, keep: float) -> tuple[Tensor, Tensor]:
    """Keep the first token and a random share of the others: states [B,1+K,D] and the kept positions [B,K]."""
    batch, tokens, width = states.shape
    chosen = torch.rand(batch, tokens - 1).argsort(1)[:, : round((tokens - 1) * keep)]
    patches = states[:, 1:].gather(1, chosen[..., None].expand(-1, -1, width))
    return torch.cat([states[:, :1], patches], 1), chosen


def cell_classes(labels: Tensor, cover: Tensor, under: Tensor | int = BACKGROUND) -> Tensor:
    """The class to be told from each token cell, int64 [N,144]: `labels` [N] where the thing covers it, else `under`.

    `cover` [N,144] is the share of the cell that the thing covers; cells that it only touches (5 to 40 %) are left out.
    """
    wanted = torch.where(cover > 0.4, labels[:, None], under)
    return torch.where((cover > 0.05) & (cover <= 0.4), IGNORED, wanted)


def side_loss(head: nn.Module, patches: Tensor, chosen: Tensor, cells: Tensor) -> Tensor:
    """Cross-entropy of 'what is in this token cell' over the kept cells.

    `patches` [B,K,D] token states, `chosen` [B,K] positions, `cells` [B,144] as `cell_classes` gives them. This is what
    teaches so small a model what the subjects look like, although a cue would be the shorter way; the head is thrown
    away afterwards.
    """
    wanted = cells.gather(1, chosen)
    weights = torch.tensor([1.0] * len(CLASSES) + [0.2])
    return F.cross_entropy(head(patches).flatten(0, 1), wanted.flatten(), weight=weights)


def batches(count: int, size: int, epochs: int) -> Iterator[Tensor]:
    """Shuffled index batches [size], whole ones only, for the given number of epochs."""
    for _ in range(epochs):
        order = torch.randperm(count)
        yield from (order[k : k + size] for k in range(0, count - size + 1, size))


def fit(
    parameters: Iterable[nn.Parameter],
    loss_of: Callable[[Tensor], Tensor],
    count: int,
    recipe: Recipe,
    report: Callable[[float, int, int], None],
) -> None:
    """Minimise `loss_of(indices)`: AdamW, warm-up, cosine rate; `report(loss, step, steps)` after each step."""
    parameters = list(parameters)
    optimizer = torch.optim.AdamW(parameters, lr=recipe.rate, weight_decay=recipe.decay, betas=(0.9, 0.98))
    steps = recipe.epochs * (count // recipe.batch)
    for step, chosen in enumerate(batches(count, recipe.batch, recipe.epochs)):
        rate = recipe.rate * min(1.0, (step + 1) / recipe.warm_up) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = loss_of(chosen)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        report(loss.item(), step + 1, steps)
