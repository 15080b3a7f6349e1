"""`python -m jobs demo train`: make the two demo models from nothing but a seed."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jobs.demo import clip, vit
from jobs.demo.evaluation import class_accuracy, cue_effect, problem_scores, retrieval
from jobs.demo.examples import Examples, split_examples

SEED = 2024
"""Seed of the committed weights."""
TEST_SEED = 7
WEIGHTS = Path(__file__).parent / "weights"
MODELS = ("vit", "clip")


@dataclass
class Board:
    """Progress bars of a training: one per set of pictures, one per model."""

    bars: Progress
    workers: int
    seconds: dict[str, float] = field(default_factory=dict)

    def examples(self, split: str, count: int, seed: int, **options: Any) -> Examples:
        """Paint a split with a bar."""
        task = self.bars.add_task(f"paint {split}", total=count, note="")
        return split_examples(
            split, count, seed, workers=self.workers, progress=lambda n: self.bars.advance(task, n), **options
        )

    def training(self, name: str) -> Callable[[float, int, int], None]:
        """A bar that shows the running loss; the seconds are kept under the model's name."""
        task, started = self.bars.add_task(f"train {name}", total=None, note=""), time.monotonic()
        smooth: list[float] = []

        def report(loss: float, step: int, steps: int) -> None:
            smooth[:] = [loss if not smooth else 0.98 * smooth[0] + 0.02 * loss]
            self.bars.update(task, completed=step, total=steps, note=f"loss {smooth[0]:.3f}")
            self.seconds[name] = round(time.monotonic() - started, 1)

        return report


def _train_vit(out: Path, seed: int, board: Board, test: int) -> dict[str, Any]:
    """Train and save the classifier, then measure the saved half-precision weights."""
    model = vit.train_vit(board.examples("train", vit.RECIPE.examples, seed), vit.RECIPE, seed, board.training("vit"))
    vit.save_vit(model, out / "vit")
    saved = timm.create_model(f"local-dir:{out / 'vit'}", pretrained=True).eval()
    found: dict[str, Any] = {}
    for split in ("aligned", "conflicting", "clean"):
        examples = board.examples(split, test, TEST_SEED)
        predicted = vit.predict(saved, examples.images)
        found[split] = class_accuracy(predicted, examples)
        if split == "conflicting":
            twins = board.examples(split, test, TEST_SEED, cues=False)
            found["cues"] = cue_effect(predicted, vit.predict(saved, twins.images), examples)
    return {"recipe": asdict(vit.RECIPE), "accuracy": found}


def _train_clip(out: Path, seed: int, board: Board, test: int) -> dict[str, Any]:
    """Train and save the picture-text model, then measure the saved half-precision weights."""
    import open_clip

    examples = board.examples("train_pairs", clip.RECIPE.examples, seed, wordings=clip.WORDINGS)
    model, tokenizer = clip.train_clip(examples, clip.RECIPE, seed, board.training("clip"))
    clip.save_clip(model, tokenizer, out / "clip")
    name = f"local-dir:{out / 'clip'}"
    saved = open_clip.create_model(name).eval()
    pairs = board.examples("pairs", test, TEST_SEED)
    tokens = open_clip.get_tokenizer(name)([texts[0] for texts in pairs.texts])
    cosines = clip.similarity(saved, tokens, pairs.images)
    return {
        "recipe": asdict(clip.RECIPE),
        "retrieval": retrieval(cosines, pairs),
        "cosine": problem_scores(cosines, pairs),
    }


def _versions() -> dict[str, str]:
    import open_clip

    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "timm": timm.__version__,
        "open_clip": open_clip.__version__,
    }


def train_demo(
    out: Path | str = WEIGHTS,
    seed: int = SEED,
    *,
    models: tuple[str, ...] = MODELS,
    test: int = 600,
    workers: int | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Train the demo models into `out`/vit and `out`/clip and write `out`/training.json with what was measured.

    `test` is the number of freshly painted pictures per split that the saved weights are measured on. On one machine
    and number of threads the same seed gives the same weights. Returns what training.json holds.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    card_file = out / "training.json"
    card: dict[str, Any] = json.loads(card_file.read_text()) if card_file.exists() else {}
    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console or Console(stderr=True)) as bars:
        board = Board(bars, workers or min(os.cpu_count() or 1, 8))
        for name, train in (("vit", _train_vit), ("clip", _train_clip)):
            if name in models:
                card[name] = {**train(out, seed, board, test), "training_seconds": board.seconds[name]}
    card |= {
        "command": f"python -m jobs demo train --seed {seed}",
        "seed": seed,
        "test_seed": TEST_SEED,
        "threads": torch.get_num_threads(),
        "versions": _versions(),
    }
    card_file.write_text(json.dumps(card, indent=1) + "\n")
    return card
