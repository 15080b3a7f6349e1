"""What does it cost to evaluate maps beyond the forward passes that this needs?

    python benchmarks/perturbation.py [--json FILE] [--model vit_tiny_patch16_224] [--images 64] [--maps 6] [--batch 32]

Images x 10 steps x maps of the protocol `vit` on a randomly initialised timm model, beside bare forward passes of as
many pictures, which lie ready, in the same batches. Both take turns on a few images at a time, in one process; the
ratio is the median over the turns, of seconds and of seconds of the processor, which other work on the machine hardly
touches. The whole picture is scored once per image, so that 6 maps need 55 pictures per image, not 60: the forwards are
counted as they are.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import timm
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.harness import Work, median_ratio, peak_megabytes, report, synchronise
from engine.faithfulness.baselines import random_maps
from engine.faithfulness.pictures import black, perturbed_scores
from engine.faithfulness.scores import accuracy

TURN = 4  # images
GRID_STRIDE = 16


class Evaluation:
    """One model, its pictures, and a count of the pictures that it has seen."""

    def __init__(self, model: nn.Module, images: Tensor, maps: Tensor, batch: int) -> None:
        self.model, self.images, self.maps, self.batch = model, images, maps, batch
        self.grid = (images.shape[-2] // GRID_STRIDE, images.shape[-1] // GRID_STRIDE)
        self.fill = black([0.5] * 3, [0.5] * 3)
        self.classes = torch.zeros(len(images), dtype=torch.long, device=images.device)
        self.pictures = 0

    def score(self, pictures: Tensor, rows: np.ndarray) -> Tensor:
        """Accuracy of the predicted class, as the protocol says."""
        self.pictures += len(pictures)
        return accuracy(self.model(pictures), self.classes[rows])

    def evaluate(self, part: slice) -> np.ndarray:
        """Curves [M, B, K]."""
        return perturbed_scores(
            self.images[part], self.maps[:, part], self.grid, "vit", "positive", self.score, self.fill, self.batch
        )

    @torch.no_grad()
    def forwards(self, pictures: int) -> None:
        """As many pictures through the model alone, in the same batches."""
        ready = self.images[torch.arange(self.batch) % len(self.images)]
        for start in range(0, pictures, self.batch):
            self.model(ready[: min(self.batch, pictures - start)]).argmax(dim=1)


def seconds_of(work: Work) -> tuple[float, float]:
    """Seconds, and seconds of the processor."""
    gc.collect()
    synchronise()
    start, worked = time.perf_counter(), time.process_time()
    work()
    synchronise()
    return time.perf_counter() - start, time.process_time() - worked


def measure(name: str, images: int, maps: int, batch: int) -> dict[str, Any]:
    """One row."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    model = timm.create_model(name).eval().to(device)
    generator = torch.Generator().manual_seed(1)
    size: tuple[int, int, int] = model.default_cfg["input_size"]  # type: ignore[index, assignment]
    pictures = torch.randn(images, *size, generator=generator).to(device)
    tokens = (size[-2] // GRID_STRIDE) * (size[-1] // GRID_STRIDE)
    values = random_maps((maps * images, tokens), range(maps * images)).reshape(maps, images, tokens)
    evaluation = Evaluation(model, pictures, values, batch)
    evaluation.forwards(batch)
    evaluation.evaluate(slice(0, 1))
    ours, bare, scored = [], [], 0
    for start in range(0, images, TURN):
        part, before = slice(start, start + TURN), evaluation.pictures
        ours.append(seconds_of(lambda part=part: evaluation.evaluate(part)))  # type: ignore[misc]
        count = evaluation.pictures - before
        bare.append(seconds_of(lambda count=count: evaluation.forwards(count)))  # type: ignore[misc]
        scored += count
    ratios = [one[0] / other[0] for one, other in zip(ours, bare, strict=True)]
    few = slice(0, min(4, images))
    return {
        "model": name,
        "images": images,
        "maps": maps,
        "steps": 10,
        "batch": batch,
        "pictures": scored,
        "seconds": round(sum(wall for wall, _ in ours), 2),
        "seconds_forwards": round(sum(wall for wall, _ in bare), 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_lowest": round(min(ratios), 3),
        "ratio_highest": round(max(ratios), 3),
        "cpu_ratio": round(median_ratio([cpu for _, cpu in ours], [cpu for _, cpu in bare]), 3),
        "peak_mb": round(peak_megabytes(lambda: evaluation.evaluate(few)), 1),
        "peak_mb_forwards": round(peak_megabytes(lambda: evaluation.forwards(2 * batch)), 1),
    }


def main() -> None:
    """Measure, print a table, and write JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--model", nargs="+", default=["vit_tiny_patch16_224"])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--maps", type=int, default=6)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    rows = [measure(name, options.images, options.maps, options.batch) for name in options.model]
    table = Table("", *(str(row["model"]) for row in rows))
    for name in rows[0]:
        table.add_row(name, *(str(row[name]) for row in rows))
    Console(stderr=True).print(table)
    report("perturbation", rows, options.json)


if __name__ == "__main__":
    main()
