"""How faithful are the maps? GAE, its ablations and the paper's baselines, on small models that we trained.

    python benchmarks/faithfulness.py [--json FILE] [--models vit clip visualbert lxmert detr] [--samples 200]

Per model a dataset is generated, ``python -m jobs run`` explains it, and ``python -m jobs evaluate`` tests the maps:
the paper's perturbation for ``vit`` (demo), ``visualbert`` and ``lxmert`` (benchmarks/questions), deletion by mean
colour for ``clip`` (demo), and COCO's AP of masks for ``detr`` (benchmarks/detection). One table per model: a row per
method, a column per test, 95 % bootstrap intervals over samples. Positive: lower is better; all else: higher is better.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from benchmarks.harness import report
from jobs.evaluate.command import evaluate
from jobs.evaluate.spec import EvaluateSpec
from jobs.run import run_audit
from jobs.spec import RunSpec
from storage.faithfulness import LOWER, better

CONSOLE = Console(stderr=True, width=160)
ROOT = Path(__file__).resolve().parent
SEED = 5
NO_METHODS = ("random", "constant")
Row = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """Data and model to be explained, and the protocol to follow."""

    data: Path
    model: str
    protocol: str
    options: dict[str, Any]
    annotations: str | None = None


def vit(folder: Path, samples: int) -> Subject:
    """Scenes that show their class and its cue; the demo's trained ViT."""
    from jobs.demo.command import WEIGHTS
    from jobs.demo.dataset import write_dataset

    data = write_dataset(folder, SEED, {"aligned": samples})
    return Subject(data, f"timm:local-dir:{WEIGHTS / 'vit'}", "vit", {})


def clip(folder: Path, samples: int) -> Subject:
    """Scenes with captions; the demo's trained CLIP, maps of all layers."""
    from jobs.demo.command import WEIGHTS
    from jobs.demo.dataset import write_dataset

    data = write_dataset(folder, SEED, {"pairs": samples})
    return Subject(data, f"open_clip:local-dir:{WEIGHTS / 'clip'}", "deletion", {"start_layer": 0})


def questions(name: str) -> Callable[[Path, int], Subject]:
    """Questions about generated scenes, answered from region features."""

    def made(folder: Path, samples: int) -> Subject:
        from benchmarks.questions.dataset import write_dataset

        return Subject(write_dataset(folder, samples, SEED), str(ROOT / "questions/weights" / name), name, {})

    return made


def detr(folder: Path, samples: int) -> Subject:
    """Generated scenes of shapes, a detector that was trained on boxes alone."""
    from benchmarks.detection.dataset import write_dataset

    data = write_dataset(folder, samples, SEED)
    truth = str(data.parent / "annotations.json")
    return Subject(data, str(ROOT / "detection/weights"), "coco", {"target": "detections", "threshold": 0.5}, truth)


MODELS: dict[str, Callable[[Path, int], Subject]] = {
    "vit": vit,
    "clip": clip,
    "visualbert": questions("visualbert"),
    "lxmert": questions("lxmert"),
    "detr": detr,
}


def main() -> None:
    """Evaluate some models and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--samples", type=int, default=200)
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            rows += evaluated(name, Path(folder), options.samples)
        show(name, [row for row in rows if row["model"] == name])
    report("faithfulness", rows, options.json, samples=options.samples)


def evaluated(name: str, folder: Path, samples: int) -> list[Row]:
    """Rows of one model: the results of `evaluate`, with its name."""
    subject = MODELS[name](folder / "data", samples)
    store = str(folder / "store")
    run = run_audit(RunSpec(str(subject.data), subject.model, store=store, name=name, device="cpu", **subject.options))
    CONSOLE.print(f"{name}: {run.explained} explained, accuracy {run.accuracy}")
    found = evaluate(
        EvaluateSpec(
            store=store,
            run=name,
            protocols=(subject.protocol,),
            ablations=True,
            samples=samples,
            fills=("mean",),
            annotations=subject.annotations,
            device="cpu",
        )
    )
    for note in found.notes:
        CONSOLE.print(f"note: {note}")
    return [{"model": name, "accuracy": run.accuracy, **row} for row in found.results]


def show(name: str, rows: list[Row]) -> None:
    """A row per method, a column per test; the best of each column in bold, and what GAE is not best at in words."""
    columns = list(dict.fromkeys((row["test"], row["modality"]) for row in rows))
    table = Table("method", *(f"{test}\n{modality}" for test, modality in columns), title=name)
    best = {column: best_of([row for row in rows if (row["test"], row["modality"]) == column]) for column in columns}
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = {(row["test"], row["modality"]): row for row in rows if row["method"] == method}
        table.add_row(method, *(_cell(cells.get(column), best[column]) for column in columns))
    CONSOLE.print(table)
    for (test, modality), winner in best.items():
        if winner and not winner.startswith("gae"):
            CONSOLE.print(f"{name}, {test}, {modality}: {winner} is best, not GAE")


def best_of(rows: list[Row]) -> str | None:
    """The method with the best number, orders without a method left out."""
    known = [row for row in rows if row["auc"] is not None and row["method"] not in NO_METHODS]
    if not known:
        return None
    sign = 1 if better(rows[0]["test"]) == LOWER else -1
    return str(min(known, key=lambda row: sign * row["auc"])["method"])


def _cell(row: Row | None, best: str | None) -> str:
    if row is None or row["auc"] is None:
        return "-"
    text = f"{row['auc']:.1f}"
    if row.get("auc_low") is not None:
        text += f" ({row['auc_low']:.1f}, {row['auc_high']:.1f})"
    return f"[bold]{text}[/bold]" if row["method"] == best else text


if __name__ == "__main__":
    main()
