"""Do maps of a model in half precision rank tokens as those in float32 do, and does it still say the same?

    python benchmarks/precision.py [--json FILE] [--samples 24] [--pictures 32]

GAE over all layers, bf16 and fp16 against fp32: Spearman's rank correlation of each map (tokens that have relevancy),
median and worst, and how often the predicted class is the same (an image-text model: the text that fits a picture
best). Both explain the class that float32 predicts. ``random``: a tiny model of every family with random weights, its
biases moved; ``trained``: the two models of the demo on pictures that they were not trained on (and their texts).
The correlation of a map with fewer than ``FEWEST`` such tokens says nothing: it is left out.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "tests"))

import numpy as np
import torch
import zoo
import zoo_streams
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr
from torch import Tensor, nn

from benchmarks.harness import ROOT, report
from engine import Explanation, LoadedModel, explain
from engine.models import find_adapter
from engine.models.embedding import encode_images, encode_texts
from engine.models.loading import load_model
from engine.precision import PRECISIONS
from jobs.demo.dataset import write_dataset

STREAMS = ("visual_bert", "lxmert")
FEWEST = 5
SEED = 23  # of the demo's pictures; neither the training's nor the audit's
WEIGHTS = ROOT / "jobs" / "demo" / "weights"
HALF = tuple(name for name, precision in PRECISIONS.items() if precision.half)
Row = dict[str, Any]
Choices = Callable[[LoadedModel], Tensor]
"""What a model chooses for each sample, [B]."""


def main() -> None:
    """Parse arguments, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--samples", type=int, default=24, help="of every random model")
    parser.add_argument("--pictures", type=int, default=32, help="of the demo's models")
    parser.add_argument("--families", nargs="+", default=[*zoo.ALL, *STREAMS])
    options = parser.parse_args()
    rows = [row for name in options.families for row in random_model(name, options.samples)]
    rows += trained_models(options.pictures)
    show([*summary(rows), *(row for row in rows if row["weights"] == "trained")])
    report("precision", rows, options.json, summary=summary(rows), method="gae, all layers")


def random_model(name: str, samples: int) -> list[Row]:
    """A row per half precision of a tiny model with random weights."""
    model = moved(zoo_streams.build(name) if name in STREAMS else zoo.build(name).eval())
    inputs = zoo_streams.questions(samples) if name in STREAMS else zoo.inputs(name, samples)
    loaded = LoadedModel(model, name, find_adapter(model), None, None, None)
    return compared({"model": name, "weights": "random"}, loaded, inputs)


def moved(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model with biases and norms away from zeros and ones, in place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() < 2:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.15)
    return model


def trained_models(pictures: int) -> list[Row]:
    """The demo's classifier and its image-text model, on pictures made for this."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, split, library in (("vit", "clean", "timm"), ("clip", "pairs", "open_clip")):
            loaded = load_model(f"{library}:local-dir:{WEIGHTS / name}")
            images, texts = demo_samples(Path(folder) / name, split, pictures, loaded)
            inputs: Any = images if name == "vit" else {"image": images, "text": texts}
            choices = None if name == "vit" else best_texts(images, texts)
            rows += compared({"model": f"demo {name}", "weights": "trained"}, loaded, inputs, choices)
    return rows


def demo_samples(folder: Path, split: str, count: int, loaded: LoadedModel) -> tuple[Tensor, list[str]]:
    """Pictures [B, 3, H, W] as the model reads them, and their captions."""
    manifest = write_dataset(folder, SEED, {split: count})
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert loaded.preprocess is not None
    prepared = [torch.as_tensor(loaded.preprocess(Image.open(folder / row["image"]).convert("RGB"))) for row in rows]
    return torch.stack(prepared), [row["text"] for row in rows]


def best_texts(images: Tensor, texts: Sequence[str]) -> Choices:
    """The text that an image-text model finds nearest to each picture."""
    different = list(dict.fromkeys(texts))
    return lambda loaded: (encode_images(loaded, images) @ encode_texts(loaded, different).T).argmax(dim=1)


def compared(name: Row, loaded: LoadedModel, inputs: Any, choices: Choices | None = None) -> list[Row]:
    """A row per half precision: its maps and choices beside those of float32."""
    full = explain(loaded, inputs)
    classes = full.logits.argmax(dim=1) if full.logits.dim() == 2 and full.logits.shape[1] > 1 else None
    target = None if loaded.task == "pair" else classes
    chosen = choices(loaded) if choices else classes
    rows = []
    for precision in HALF:
        half = replace(loaded, precision=precision)
        found = explain(half, inputs, target=target)
        again = choices(half) if choices else found.logits.argmax(dim=1) if classes is not None else None
        ranks = correlations(found, full)
        rows.append(
            {
                **name,
                "precision": precision,
                "maps": len(ranks),
                "median": round(float(np.median(ranks)), 5),
                "worst": round(float(np.min(ranks)), 5),
                "same_choice": None if chosen is None or again is None else float((chosen == again).double().mean()),
            }
        )
    return rows


def correlations(found: Explanation, full: Explanation) -> list[float]:
    """Spearman's rank correlation of every map over the tokens that have relevancy; -1 for a map with NaN."""
    ranks = []
    for modality, relevancy in full.relevancy.items():
        for ours, wanted in zip(found.relevancy[modality].numpy(), relevancy.numpy(), strict=True):
            told = (ours != 0) | (wanted != 0)
            if told.sum() >= FEWEST:
                rank = float(spearmanr(ours[told], wanted[told])[0])
                ranks.append(rank if np.isfinite(rank) else -1.0)
    return ranks


def summary(rows: Sequence[Row]) -> list[Row]:
    """All random models together, per precision: the median of medians, the worst map of all, and whose it is."""
    found = []
    for precision in HALF:
        own = [row for row in rows if row["weights"] == "random" and row["precision"] == precision]
        if not own:
            continue
        worst = min(own, key=lambda row: row["worst"])
        choices = [row["same_choice"] for row in own if row["same_choice"] is not None]
        found.append(
            {
                "model": f"{len(own)} random models (worst: {worst['model']})",
                "weights": "random",
                "precision": precision,
                "maps": sum(row["maps"] for row in own),
                "median": round(float(np.median([row["median"] for row in own])), 5),
                "worst": worst["worst"],
                "same_choice": round(float(np.mean(choices)), 4) if choices else None,
            }
        )
    return found


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    table = Table(title="maps in half precision beside those in float32: rank correlation, same choice")
    for column in ("model", "precision", "maps", "median", "worst", "same choice"):
        table.add_column(column, justify="left" if column in ("model", "precision") else "right")
    for row in rows:
        same = "-" if row["same_choice"] is None else f"{row['same_choice']:.1%}"
        table.add_row(row["model"], row["precision"], str(row["maps"]), f"{row['median']:.4f}", f"{row['worst']:.4f}",
                      same)  # fmt: skip
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
