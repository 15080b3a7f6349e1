"""`python -m benchmarks.questions.train`: make both models from nothing but a seed, on a CPU."""

from __future__ import annotations

import argparse
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.questions.examples import examples
from benchmarks.questions.fit import Recipe, Report, accuracy, fit
from benchmarks.questions.kinds import ANSWERS
from benchmarks.questions.models import MODELS, WEIGHTS, save, write_card
from benchmarks.questions.tables import table
from benchmarks.questions.words import tokenizer
from engine import load_model

SEED = 2024
"""Seed of the committed weights."""
TEST_SEED = 7
RECIPES = {"visualbert": Recipe(first=600, second=3400), "lxmert": Recipe(first=600, second=2400)}


def narrator(name: str, every: int = 100) -> Report:
    """Prints a running mean of loss and accuracy every so many steps."""
    start, seen = time.monotonic(), list[tuple[float, float]]()

    def report(step: int, steps: int, loss: float, right: float) -> None:
        seen.append((loss, right))
        if step % every == 0:
            losses, rights = zip(*seen[-every:], strict=True)
            now = f"{time.monotonic() - start:5.0f} s"
            print(f"{name} {step}/{steps} {now} loss {sum(losses) / every:.3f} right {sum(rights) / every:.3f}")

    return report


def train(name: str, out: Path, seed: int, recipe: Recipe, test: int = 3000) -> dict[str, Any]:
    """Train one model, save it, and measure what was saved; returns its card."""
    torch.manual_seed(seed)
    model, words = MODELS[name](), tokenizer()
    start = time.monotonic()
    fit(model, recipe, seed, words, narrator(name))
    seconds = round(time.monotonic() - start)
    save(model, out / name)
    saved = load_model(str(out / name)).model
    data = table(examples(test, TEST_SEED), words)
    card = {
        "model": type(model).__name__,
        "parameters": sum(p.numel() for p in model.parameters()),
        "task": "questions about generated scenes of 8 to 12 things (benchmarks/questions)",
        "answers": list(ANSWERS),
        "accuracy": rounded(accuracy(saved, data, TEST_SEED)),
        "accuracy_with_other_scenes": rounded(accuracy(saved, data, TEST_SEED, shuffled=True)),
        "tested": test,
        "test_seed": TEST_SEED,
        "command": f"python -m benchmarks.questions.train --only {name} --seed {seed}",
        "seed": seed,
        "recipe": asdict(recipe),
        "training_seconds": seconds,
        "threads": torch.get_num_threads(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {
            "python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__,
        },
    }  # fmt: skip
    write_card(out / name, card)
    return card


def rounded(values: dict[str, float]) -> dict[str, float]:
    """To four digits."""
    return {name: round(value, 4) for name, value in values.items()}


def main() -> None:
    """Train what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder that gets one folder per model")
    parser.add_argument("--only", choices=list(MODELS), help="one of the two models")
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    for name in [asked.only] if asked.only else list(MODELS):
        card = train(name, asked.out, asked.seed, RECIPES[name])
        print(name, card["accuracy"], "with other scenes", card["accuracy_with_other_scenes"])


if __name__ == "__main__":
    main()
