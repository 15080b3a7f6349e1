"""What every method costs: time and peak memory per sample beside a plain forward pass.

    python benchmarks/methods.py [--json FILE] [--model vit_small_patch16_224] [--batch 4] [--rounds 3]

Random weights, all methods interleaved in one run. Methods that refuse the model are left out.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import timm
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.harness import Work, interleaved, median_ratio, peak_megabytes, report
from engine import EngineError, explain, list_methods


@torch.no_grad()
def forward(model: nn.Module, images: Tensor) -> None:
    """No explanation at all."""
    model(images)


def variants(model: nn.Module, images: Tensor) -> dict[str, Work]:
    """The forward pass and every method that explains this model."""
    works: dict[str, Work] = {"forward": lambda: forward(model, images)}
    for method in list_methods():
        name = method["name"]
        try:
            explain(model, images[:1], method=name)
        except EngineError:
            continue
        works[name] = lambda name=name: explain(model, images, method=name)  # type: ignore[misc]
    return works


def measure(name: str, batch: int, rounds: int) -> list[dict[str, Any]]:
    """One row per method."""
    torch.manual_seed(0)
    model = timm.create_model(name).eval()
    size = model.default_cfg["input_size"]  # type: ignore[index]
    images = torch.randn(batch, *size, generator=torch.Generator().manual_seed(1))
    works = variants(model, images)
    seconds = interleaved(works, rounds)
    return [
        {
            "model": name,
            "batch": batch,
            "method": method,
            "ms_per_sample": round(1000 * statistics.median(seconds[method]) / batch, 1),
            "peak_mb": round(peak_megabytes(work), 1),
            "ratio_to_forward": round(median_ratio(seconds[method], seconds["forward"]), 2),
        }
        for method, work in works.items()
    ]


def main() -> None:
    """Measure, print a table, and write JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--model", nargs="+", default=["vit_small_patch16_224"])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows = [row for model in options.model for row in measure(model, options.batch, options.rounds)]
    columns = ("model", "method", "ms_per_sample", "peak_mb", "ratio_to_forward")
    table = Table(*columns)
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    Console(stderr=True).print(table)
    report("methods", rows, options.json, batch=options.batch, rounds=options.rounds)


if __name__ == "__main__":
    main()
