"""What does it cost to evaluate maps beyond the forward passes that this needs?

    python benchmarks/perturbation.py [--json FILE] [--model vit_tiny_patch16_224] [--images 32] [--maps 6] [--batch 32]

Images x 10 steps x maps of the protocol `vit` on a randomly initialised timm model, beside bare forward passes of as
many pictures, which lie ready, in the same batches. Both take turns on a few images at a time, in one process; `ratio`
is the median over the turns, and it moves with whatever else the machine does. `within` hardly does, and is the figure
to judge by: per turn, the seconds of the evaluation over those of them that were spent in the model. The whole picture
is scored once per image, so that 6 maps need 55 pictures per image, not 60: the forwards are counted as they are.
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

TURN = 2  # images
GRID_STRIDE = 16


class Evaluation:
    """One model, its pictures, and a count of the pictures that it has seen."""

    def __init__(self, model: nn.Module, images: Tensor, maps: Tensor, batch: int) -> None:
        self.model, self.images, self.maps, self.batch = model, images, maps, batch
        self.grid = (images.shape[-2] // GRID_STRIDE, images.shape[-1] // GRID_STRIDE)
        self.fill = black([0.5] * 3, [0.5] * 3)
        self.classes = torch.zeros(len(images), dtype=torch.long, device=images.device)
        self.pictures, self.in_model = 0, 0.0

    def score(self, pictures: Tensor, rows: np.ndarray) -> Tensor:
        """Accuracy of the predicted class, as the protocol says."""
        self.pictures += len(pictures)
        synchronise()
        start = time.perf_counter()
        found = accuracy(self.model(pictures), self.classes[rows])
        synchronise()
        self.in_model += time.perf_counter() - start
        return found

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


def seconds_of(work: Work) -> float:
    gc.collect()
    synchronise()
    start = time.perf_counter()
    work()
    synchronise()
    return time.perf_counter() - start


def turn(evaluation: Evaluation, part: slice, pictures: int, ours_first: bool) -> tuple[float, float, float]:
    """Seconds of the evaluation of some images, those of them in the model, and of the bare forwards."""
    bare = 0.0 if ours_first else seconds_of(lambda: evaluation.forwards(pictures))
    before = evaluation.in_model
    ours = seconds_of(lambda: evaluation.evaluate(part))
    within = evaluation.in_model - before
    return ours, within, bare or seconds_of(lambda: evaluation.forwards(pictures))


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
    evaluation.pictures = 0
    parts = [slice(start, min(start + TURN, images)) for start in range(0, images, TURN)]
    needed = [(part.stop - part.start) * (1 + 9 * maps) for part in parts]
    turns = [turn(evaluation, part, needed[k], k % 2 == 0) for k, part in enumerate(parts)]
    assert evaluation.pictures == sum(needed), "the evaluation scored another number of pictures than the forwards"
    ours, within, bare = (list(side) for side in zip(*turns, strict=True))
    ratios = [one / other for one, other in zip(ours, bare, strict=True)]
    few = slice(0, min(4, images))
    return {
        "model": name,
        "images": images,
        "maps": maps,
        "steps": 10,
        "batch": batch,
        "pictures": sum(needed),
        "seconds": round(sum(ours), 2),
        "seconds_forwards": round(sum(bare), 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_lowest": round(min(ratios), 3),
        "ratio_highest": round(max(ratios), 3),
        "within": round(median_ratio(ours, within), 3),
        "peak_mb": round(peak_megabytes(lambda: evaluation.evaluate(few)), 1),
        "peak_mb_forwards": round(peak_megabytes(lambda: evaluation.forwards(2 * batch)), 1),
    }


def main() -> None:
    """Measure, print a table, and write JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--model", nargs="+", default=["vit_tiny_patch16_224"])
    parser.add_argument("--images", type=int, default=32)
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
