"""DETR with about a thousand image tokens: a query's relevancy by vector chains against whole matrices.

    python benchmarks/detr.py [--json FILE] [--sides 640x640 800x1066] [--rounds 3] [--detections 1 5]

Standard sizes (six encoder and decoder layers, width 256, 8 heads, 100 queries, feature map with stride 32), random
weights, one picture. Variants, interleaved: ``forward`` (no gradient), ``limit`` (fused forward, and one backward per
explained query to the encoder's input), ``stream`` (ours: vector chains), ``record`` (ours: A and dA kept, whole R, as
the paper writes it), ``authors`` (their algorithm on the same maps: one model run per query, R with N x N products).
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

from benchmarks.harness import Work, interleaved, median_ratio, peak_megabytes, report
from engine import explain, explain_targets
from engine.capture.scope import frozen
from engine.targets import QueryClass, Target

NAMES = ("forward", "limit", "stream", "record", "authors")


def build() -> DetrForObjectDetection:
    """DETR of the standard size behind a light backbone of stride 32: the backbone is not what is measured."""
    torch.manual_seed(0)
    widths: dict[str, Any] = {"embedding_size": 32, "hidden_sizes": [32, 64, 96, 128], "depths": [1, 1, 1, 1]}
    backbone: dict[str, Any] = {"layer_type": "basic", "out_features": ["stage4"], **widths}
    settings: dict[str, Any] = {
        "num_labels": 91,
        "use_timm_backbone": False,
        "backbone_config": ResNetConfig(**backbone),
    }
    model = DetrForObjectDetection(DetrConfig(**settings)).eval()
    with torch.no_grad():
        for parameter in model.model.decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return model


def targets(count: int) -> list[Target]:
    """The first queries, with different classes."""
    return [QueryClass(torch.tensor([7 * k]), torch.tensor([k])) for k in range(count)]


def variants(model: DetrForObjectDetection, images: Tensor, count: int) -> dict[str, Work]:
    """All ways to explain ``count`` queries of one picture."""
    wanted = targets(count)
    return {
        "forward": lambda: forward(model, images),
        "limit": lambda: limit(model, images, wanted),
        "stream": lambda: explain_targets(model, images, wanted, engine="stream"),
        "record": lambda: explain_targets(model, images, wanted, engine="record"),
        "authors": lambda: [explain(model, images, target=t, keep_matrices=True) for t in wanted],
    }


@torch.no_grad()
def forward(model: DetrForObjectDetection, images: Tensor) -> None:
    """No gradient at all."""
    model(pixel_values=images)


def limit(model: DetrForObjectDetection, images: Tensor, wanted: list[Target]) -> None:
    """Fused attention, weights frozen: forward once, and back to the encoder's input per query."""
    entry: list[Tensor] = []

    def open_graph(module: Any, inputs: Any, output: Tensor) -> Tensor:
        entry.append(output.detach().requires_grad_())
        return entry[0]

    handle = model.model.input_projection.register_forward_hook(open_graph)
    try:
        with frozen(model), torch.enable_grad():
            logits = model(pixel_values=images).logits
            for k, target in enumerate(wanted):
                assert isinstance(target, QueryClass)
                score = logits[0, int(target.query), int(target.classes)]
                torch.autograd.grad(score, entry[0], retain_graph=k + 1 < len(wanted))
    finally:
        handle.remove()


def measure(model: DetrForObjectDetection, size: tuple[int, int], count: int, rounds: int) -> list[dict[str, Any]]:
    """Rows of one picture size and number of explained queries."""
    images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    grid = explain(model, images, target=targets(1)[0], engine="stream").grid
    assert grid is not None
    works = variants(model, images, count)
    seconds = interleaved(works, rounds)
    return [
        {
            "model": "detr (6 + 6 layers, 100 queries)",
            "image_size": list(size),
            "image_tokens": grid[0] * grid[1],
            "queries_explained": count,
            "variant": name,
            "ms": round(1000 * statistics.median(seconds[name]), 1),
            "ms_per_query": round(1000 * statistics.median(seconds[name]) / count, 1),
            "peak_mb": round(peak_megabytes(works[name]), 1),
            "ratio_to_limit": round(median_ratio(seconds[name], seconds["limit"]), 3),
            "ratio_to_stream": round(median_ratio(seconds[name], seconds["stream"]), 3),
        }
        for name in NAMES
    ]


def main() -> None:
    """Measure, print a table, and write JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sides", nargs="+", default=["640x640", "896x1216"])
    parser.add_argument("--detections", nargs="+", type=int, default=[1, 5])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    model = build()
    sizes = [tuple(int(n) for n in side.split("x")) for side in options.sides]
    rows = [
        r for size in sizes for n in options.detections for r in measure(model, (size[0], size[1]), n, options.rounds)
    ]
    table = Table("image tokens", "queries", "variant", "ms", "ms per query", "peak MB", "/ limit", "/ stream")
    for row in rows:
        columns = ("image_tokens", "queries_explained", "variant", "ms", "ms_per_query", "peak_mb", "ratio_to_limit")
        table.add_row(*(str(row[c]) for c in (*columns, "ratio_to_stream")))
    Console(stderr=True).print(table)
    report("detr", rows, options.json, rounds=options.rounds)


if __name__ == "__main__":
    main()
