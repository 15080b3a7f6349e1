"""Train the detector from nothing but a seed, and write its folder with a card of what it reaches.

python -m benchmarks.detection.train --out benchmarks/detection/weights
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DetrConfig, DetrForObjectDetection

from benchmarks.detection import model as detector
from benchmarks.detection.dataset import TEST_SEED
from benchmarks.detection.examples import Examples, make_examples, varied
from benchmarks.detection.objective import Losses, class_loss, dense_loss, owners, set_loss
from benchmarks.detection.score import box_precision, fresh_scenes

SEED = 2024
"""Seed of the committed weights."""
SHARPNESS = 2.0
"""How narrow a query's first look is."""
FINE = 48
"""Side of the grid on which the queries' first places are looked up."""
Report = Callable[[int, int, list[float]], None]


@dataclass(frozen=True)
class Recipe:
    """How long and how fast the detector is trained. `sets` is the number of sets of queries (see `decode`)."""

    scenes: int = 4000
    first_steps: int = 350
    first_batch: int = 32
    first_rate: float = 4e-3
    steps: int = 2200
    batch: int = 16
    rate: float = 1e-3
    decay: float = 1e-4
    warm_up: int = 50
    sets: int = 3
    classes: float = 2.0


def first_places(model: DetrForObjectDetection, sets: int) -> Tensor:
    """Query embeddings to start from [sets, Q, WIDTH]: position codes of points that are spread over the picture.

    Each query then looks near its own point first, instead of everywhere: DETR's slow start is for the greatest part
    the search for such places (Conditional DETR, Meng et al. 2021). Points: the R2 sequence, moved at random per set.
    """
    step = torch.arange(model.config.num_queries) + 1.0
    spread = torch.stack([step * 0.7548776662, step * 0.5698402910], -1) + 0.5
    points = (spread + torch.rand(sets, 1, 2)) % 1
    cells = (points * FINE).long()
    return detector.positions(model, (FINE, FINE))[0][cells[..., 1] * FINE + cells[..., 0]]


def nearness(config: DetrConfig) -> Tensor:
    """A projection [WIDTH, WIDTH] that makes queries and keys match that lie near each other, in every head.

    Position codes hold rows in their first half and columns in the second, fast waves first: each head takes the fast
    waves of both, as with plain weights one head would see rows only and another one columns only.
    """
    heads, half = config.decoder_attention_heads, config.d_model // 2
    each = half // heads
    taken = torch.cat([torch.arange(each), half + torch.arange(each)]).repeat(heads)
    return SHARPNESS * torch.eye(config.d_model)[taken]


def new_detector(sets: int) -> tuple[DetrForObjectDetection, nn.Parameter]:
    """An untrained detector and the further sets of query embeddings [sets - 1, Q, WIDTH]."""
    model = DetrForObjectDetection(detector.config())
    places = first_places(model, sets)
    parts = (model.model.encoder, model.model.decoder, model.model.input_projection, model.bbox_predictor)
    for weight in (weight for part in parts for weight in part.parameters() if weight.dim() > 1):
        nn.init.xavier_uniform_(weight)  # the authors' start; the library's is too small for so narrow a model
    with torch.no_grad():
        model.model.query_position_embeddings.weight.copy_(places[0])
        near = nearness(model.config)
        for layer in model.model.decoder.layers:
            layer.encoder_attn.q_proj.weight.copy_(near)
            layer.encoder_attn.k_proj.weight.copy_(near)
            nn.init.eye_(layer.encoder_attn.v_proj.weight)
            nn.init.eye_(layer.encoder_attn.o_proj.weight)
    return model, nn.Parameter(places[1:].clone())


def _batches(count: int, size: int) -> Iterator[Tensor]:
    """Shuffled index batches [size] without end."""
    while True:
        yield from torch.randperm(count).split(size)[: count // size]


def train_detector(examples: Examples, recipe: Recipe, seed: int, report: Report) -> DetrForObjectDetection:
    """A detector in eval mode. The seed fixes it on one machine and number of threads.

    First the backbone alone learns which class lies in each cell: together with boxes from the start, it learns boxes
    only for a long time. Then everything is trained. `report(step, steps, losses)` is called after every step of both;
    the losses are the classes' of the backbone's tokens, later classes and boxes of queries, encoder and backbone.
    """
    torch.manual_seed(seed)
    model, others = new_detector(recipe.sets)
    frozen = detector.with_batch_norm(model.train())
    parameters = [*model.parameters(), others]

    def first(pixels: Tensor, labels: Tensor, boxes: Tensor) -> list[Tensor]:
        logits, _ = detector.answers(model, _normed(detector.backbone_tokens(model, pixels)[0]))
        return [class_loss(logits, owners(labels, boxes, detector.GRID)[0])]

    def then(pixels: Tensor, labels: Tensor, boxes: Tensor) -> list[Tensor]:
        return [part for pair in _losses(model, others, pixels, labels, boxes) for part in pair]

    _fit(
        parameters, examples, recipe, (recipe.first_steps, recipe.first_batch, recipe.first_rate), [1.0], first, report
    )
    weights = [recipe.classes, 1.0] * 3
    _fit(parameters, examples, recipe, (recipe.steps, recipe.batch, recipe.rate), weights, then, report)
    detector.with_frozen_norm(model.eval(), frozen)
    return model


def _fit(
    parameters: list[nn.Parameter],
    examples: Examples,
    recipe: Recipe,
    course: tuple[int, int, float],
    weights: list[float],
    losses_of: Callable[[Tensor, Tensor, Tensor], list[Tensor]],
    report: Report,
) -> None:
    """Minimise the weighted sum of losses for a `course` of (steps, batch, rate): AdamW, warm-up, cosine rate."""
    steps, batch, rate = course
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=recipe.decay, betas=(0.9, 0.98))
    for step, chosen in zip(range(steps), _batches(len(examples), batch), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / recipe.warm_up) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        pixels, boxes = varied(examples.pixels[chosen], examples.boxes[chosen])
        losses = losses_of(pixels, examples.labels[chosen], boxes)
        loss = torch.stack([weight * part for weight, part in zip(weights, losses, strict=True)]).sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        report(step + 1, steps, [part.item() for part in losses])


def _normed(tokens: Tensor) -> Tensor:
    """Tokens of the backbone at the scale of the states that the heads read."""
    return F.layer_norm(tokens, tokens.shape[-1:])


def _losses(
    model: DetrForObjectDetection, others: Tensor, pixels: Tensor, labels: Tensor, boxes: Tensor
) -> list[Losses]:
    """Losses of all queries after every decoder layer, of the encoder's tokens, and of the backbone's."""
    seen = detector.encode(model, pixels)
    queries = torch.cat([model.model.query_position_embeddings.weight[None], others])
    return [
        set_loss(*detector.decode(model, seen, queries), labels, boxes),
        dense_loss(*detector.answers(model, seen.states), labels, boxes),
        dense_loss(*detector.answers(model, _normed(seen.features)), labels, boxes),
    ]


def make_weights(out: Path, seed: int, recipe: Recipe, test: int) -> dict[str, Any]:
    """Train into `out`, measure the saved half-precision weights on `test` fresh scenes, write and return the card."""
    started = time.process_time()
    examples = make_examples(seed, 0, recipe.scenes)
    painted = time.process_time()
    model = train_detector(examples, recipe, seed, Printed())
    trained = time.process_time()
    detector.save_detector(model, out)
    found = box_precision(detector.load_detector(out), fresh_scenes(TEST_SEED, test))
    card = {
        "command": f"python -m benchmarks.detection.train --seed {seed}",
        "seed": seed,
        "recipe": asdict(recipe),
        "test": {"seed": TEST_SEED, "scenes": test, "boxes": found},
        "parameters": sum(tensor.numel() for tensor in model.parameters()),
        "cpu_seconds": {"painting": round(painted - started, 1), "training": round(trained - painted, 1)},
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
        },
    }
    (out / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    return card


class Printed:
    """Prints the mean losses of every 100 steps of a course."""

    def __init__(self) -> None:
        self.since: list[list[float]] = []

    def __call__(self, step: int, steps: int, losses: list[float]) -> None:
        if step == 1:
            self.since.clear()
        self.since.append(losses)
        if step % 100 == 0:
            means = (f"{sum(values) / len(values):.3f}" for values in zip(*self.since, strict=True))
            print(f"step {step} of {steps}, losses {' '.join(means)}", flush=True)
            self.since.clear()


def main() -> None:
    """Train as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=detector.WEIGHTS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--test", type=int, default=500)
    asked = parser.parse_args()
    print(json.dumps(make_weights(asked.out, asked.seed, Recipe(), asked.test), indent=1))


if __name__ == "__main__":
    main()
