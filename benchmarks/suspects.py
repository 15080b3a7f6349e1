"""Does an audit find the cues that a model relies on? Generated datasets with planted cues, ours beside its rivals.

    python benchmarks/suspects.py --real DIR [--models FOLDER] [--json FILE]
    python benchmarks/suspects.py [--json FILE] [--settings 178] [--workers 2] [--only KIND] [--auditors NAME ...]
                                  [--again NAME ...] [--cache FOLDER]

A setting is one cue in one dataset. A run that was stopped goes on where it was; trained models and all
rows stay in the cache. `--again ours` runs ours anew on the same models.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes with a thread each are faster than one with two
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from benchmarks.harness import report
from benchmarks.spurious.real import CASES, make_models, real_row
from benchmarks.spurious.run import AUDITORS, CACHE, RIVALS, run
from benchmarks.spurious.score import Row, relied_shares, summarise
from benchmarks.spurious.settings import KINDS, plan

COLUMNS = ("auditor", "settings", "too_rare", "found", "local_20", "median_rank", "clean_classes", "false_alarms")


def show(console: Console, rows: list[Row]) -> None:
    """Print one dataset: accuracy, cues relied on, seconds."""
    dataset = next(r for r in rows if r["row"] == "dataset")
    cues = [f"{r['kind']} {r['prevalence']:.0%} {'+' if r['relies'] else '-'}" for r in rows if r["row"] == "cue"]
    spent = {**dataset["seconds"], **{r["auditor"]: r["seconds"] for r in rows if r["row"] == "audit"}}
    times = " ".join(f"{name} {seconds:.0f}" for name, seconds in spent.items())
    console.print(f"{dataset['number']:3d} accuracy {dataset['accuracy_twin']:.2f} | {', '.join(cues)} | s: {times}")


def main() -> None:
    """Run, print a table, and write JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--settings", type=int, default=178)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=KINDS, help="datasets that have a cue of this kind")
    parser.add_argument("--auditors", nargs="+", choices=list(AUDITORS), default=["ours", *RIVALS])
    parser.add_argument("--again", nargs="+", choices=list(AUDITORS), default=[], help="run these anew")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--real", type=Path, metavar="DIR", help="real photos with planted cues, instead")
    parser.add_argument("--models", type=Path, help="with --real: where its classifiers lie, or are made")
    options = parser.parse_args()
    if options.real is not None:
        real(options.real, options.models or options.cache / "models", options.cache, options.json)
    else:
        generated(options)


def real(folder: Path, models: Path, cache: Path, file: Path | None) -> None:
    """Audit the real photos with each classifier."""
    models = make_models(folder, models)
    console, rows, suspects = Console(stderr=True), [], []
    for model, split, method in CASES:
        row, found = real_row(folder, models, cache, model, split, method)
        rows.append(row)
        suspects += found
        console.print(row)
    report("suspects_real", rows, file, suspects=suspects)


def generated(options: argparse.Namespace) -> None:
    """Generate datasets, train, audit, and print a table."""
    specs = plan(options.settings, options.seed)
    if options.only:
        specs = [spec for spec in specs if options.only in {cue.kind for cue in spec.cues}]
    console = Console(stderr=True)
    rows = run(
        specs, tuple(options.auditors), options.cache, options.workers, lambda found: show(console, found),
        tuple(options.again),
    )  # fmt: skip
    summary = summarise(rows)
    table = Table(*COLUMNS)
    for row in summary:
        table.add_row(*(str(row[column]) for column in COLUMNS))
    console.print(table)
    report("suspects", rows, options.json, seed=options.seed, summary=summary, relied=relied_shares(rows))


if __name__ == "__main__":
    main()
