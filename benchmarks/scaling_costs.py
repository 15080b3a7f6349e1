"""Hours and cost of a million samples, from the figures that were measured.

    python benchmarks/scaling_costs.py [--price 1.0] [--gpus 1] [--gpu FILE --gpu-price 1.0] [--json FILE]

For every model in ``engine.json``, ``engine_large.json`` (milliseconds per picture, or per pair of CLIP) and
``pairs.json`` (per pair), at its best batch: hours = 1e6 x milliseconds / (job over engine) / 3.6e6, where the ratio
is that of ``job.json``: what a whole job makes of the engine's speed. Cost = hours x ``--price``, what an hour of
such a machine costs you.
``--gpu FILE`` is what ``make bench-gpu`` has written; its lowest whole-job ratio is taken where it has one, else the
hours are those of the bare engine. ``--gpus N`` divides the hours by N: that N of them are N times as fast is an
assumption, nobody has measured it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from benchmarks.harness import ROOT, report

RESULTS = ROOT / "benchmarks" / "results"
MILLION = 1_000_000
PICTURES = {"stream": "all layers", "stream_last": "last layer"}
PAIRS = {"ours": "last layer of both towers", "ours_all_layers": "all layers", "ours_evidence": "with --evidence"}
Row = dict[str, Any]


def main() -> None:
    """Print the table, and write JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--price", type=float, default=1.0, help="of an hour of a machine like the measured one")
    parser.add_argument("--gpu", type=Path, help="gpu.json of `make bench-gpu`")
    parser.add_argument("--gpu-price", type=float, default=1.0, help="of an hour of one GPU")
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the measured figures")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = list(cpu_rows(options.results, options.price))
    if options.gpu:
        rows += gpu_rows(json.loads(options.gpu.read_text()), options.gpu_price, options.gpus)
    table = Table("device", "model", "what", "ms a sample", "job / engine", "hours a million", "cost a million")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console = Console()
    console.print(table)
    if not options.gpu:
        console.print("No GPU figure exists here: --gpu FILE takes what `make bench-gpu` writes.")
    report("scaling_costs", rows, options.json, price=options.price, gpu_price=options.gpu_price, gpus=options.gpus)


def cpu_rows(results: Path, price: float) -> Iterator[Row]:
    """One row per model and way, of the batch that is fastest; first the model whose whole job was measured."""
    whole = next(row for row in _rows(results / "job.json") if row["section"] == "engine")
    ratio = float(whole["job_over_engine"])
    machine = json.loads((results / "job.json").read_text())["machine"]
    device = f"{machine['cores']} cores {machine['cpu']}"
    yield _row(device, "vit_b16 224", "all layers, in the job's run", 1000 / whole["engine_per_s"], ratio, price)
    pictures = [*_rows(results / "engine.json"), *_rows(results / "engine_large.json")]
    for ways, rows, field in (
        (PICTURES, pictures, "ms_per_sample"),
        (PAIRS, _rows(results / "pairs.json"), "ms_per_pair"),
    ):
        best: dict[tuple[str, str], float] = {}
        for row in rows:
            if row["variant"] in ways and row.get("pictures", row["batch"]) == row["batch"]:
                key = (f"{row['model']} {row['image_size']}", ways[row["variant"]])
                best[key] = min(best.get(key, float("inf")), row[field])
        for (model, way), milliseconds in best.items():
            yield _row(device, model, way, milliseconds, ratio, price)


def gpu_rows(document: Row, price: float, gpus: int = 1) -> Iterator[Row]:
    """One row per model of `make bench-gpu`; without a ratio of its own the engine's speed alone is told."""
    rows = document["rows"]
    ratio = min((float(row["job_over_engine"]) for row in rows if "job_over_engine" in row), default=None)
    device = f"{gpus} x {document['machine']['gpu'] or document['device']}"
    for row in rows:
        if row["section"] == "models" and row.get("way") == "stream":
            milliseconds = 1000 / row["samples_per_s"] / gpus
            yield _row(device, row["model"], f"all layers, {document['precision']}", milliseconds, ratio, price * gpus)


def _row(device: str, model: str, what: str, milliseconds: float, ratio: float | None, price: float) -> Row:
    """`ratio` None: no whole job was measured, the hours are those of the bare engine."""
    hours = MILLION * milliseconds / (ratio or 1.0) / 3.6e6
    return {
        "device": device,
        "model": model,
        "what": what,
        "ms_per_sample": round(milliseconds, 2),
        "job_over_engine": ratio,
        "hours_per_million": round(hours, 2),
        "cost_per_million": round(hours * price, 2),
    }


def _rows(file: Path) -> list[Row]:
    rows: list[Row] = json.loads(file.read_text())["rows"]
    return rows


if __name__ == "__main__":
    main()
