"""Peak memory per sample of an explanation as pictures have more tokens: linear where nothing of N x N is kept.

    python benchmarks/memory.py [--json FILE] [--sizes 224 384 592]

ViT-S/16 with random weights, one picture of each size (197, 577 and 1370 tokens): ``limit`` (fused forward and backward
to the input), ``stream`` and ``record`` (ours), ``authors`` (their algorithm). ``grows_as`` is the exponent of a power
law through the first and the last size: 1 is linear in the number of tokens, 2 quadratic.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import timm
import torch
from rich.console import Console

from benchmarks import authors
from benchmarks.engine import limit
from benchmarks.harness import Work, peak_megabytes, report
from engine import explain

SIZES = (224, 384, 592)
PATCH = 16


def main() -> None:
    """Measure every way at every size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    options = parser.parse_args()
    rows = measured(options.sizes)
    for row in rows:
        Console().print(" ".join(f"{key}={value}" for key, value in row.items()))
    report("memory", rows, options.json, model="vit_small_patch16")


def measured(sizes: Sequence[int]) -> list[dict[str, Any]]:
    """A row per way: megabytes at each number of tokens, and how they grow."""
    peaks: dict[str, dict[int, float]] = {}
    for size in sizes:
        tokens = (size // PATCH) ** 2 + 1
        for name, work in ways(size).items():
            work()
            peaks.setdefault(name, {})[tokens] = round(peak_megabytes(work), 1)
    return [
        {"variant": name, **{f"mb_{tokens}": mb for tokens, mb in found.items()}, "grows_as": _exponent(found)}
        for name, found in peaks.items()
    ]


def ways(size: int) -> dict[str, Work]:
    """The ways to explain one picture of a size."""
    torch.manual_seed(0)
    model = timm.create_model("vit_small_patch16_224", img_size=size, num_classes=10).eval()
    image = torch.randn(1, 3, size, size)
    return {
        "limit": lambda: limit(model, image),
        "stream": lambda: explain(model, image, engine="stream"),
        "record": lambda: explain(model, image, engine="record"),
        "authors": lambda: authors.vit_relevancy(model, image),
    }


def _exponent(peaks: dict[int, float]) -> float:
    (first, low), *_, (last, high) = peaks.items()
    return round(math.log(high / low) / math.log(last / first), 2)


if __name__ == "__main__":
    main()
