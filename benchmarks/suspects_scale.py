"""How long does a search for suspects take, and how does it grow?

    python benchmarks/suspects_scale.py [--json FILE] [--sizes 2000 10000 50000 200000]

Two measurements on synthetic observations (token states of width 384, five patches per photo, maps of 14 x 14, six
properties; every class has twelve parts, a third of its photos a planted cue): the search itself (detectors, five
permuted searches, ranking) in memory, and for the second size the whole command on a store, without interventions.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from rich.console import Console

from benchmarks.harness import report
from engine.suspects import Observations, Property, chance_of, detect, ranked
from jobs.suspects.command import find_suspects
from jobs.suspects.spec import SuspectsSpec
from storage import Store, parts_table

WIDTH, PATCHES, GRID, PARTS, CUE = 384, 5, (14, 14), 12, 0.3
MEASURED = ("brightness", "contrast", "saturation", "warmth", "greenness", "sharpness")
PART = 500  # samples per part of the synthetic store


def observations(count: int, classes: int, seed: int = 0) -> Observations:
    """N synthetic samples."""
    rng = np.random.default_rng(seed)
    predicted = rng.integers(0, classes, count)
    parts = rng.normal(size=(classes, PARTS, WIDTH)).astype(np.float32)
    common = rng.normal(size=(40, WIDTH)).astype(np.float32)
    cues = rng.normal(size=(classes, WIDTH)).astype(np.float32)
    own = parts[predicted[:, None], rng.integers(0, PARTS, (count, PATCHES))]
    other = common[rng.integers(0, 40, (count, PATCHES))]
    shown = np.where((rng.random((count, PATCHES)) < 0.6)[..., None], own, other)
    patches = shown + 0.9 * rng.standard_normal((count, PATCHES, WIDTH), np.float32)
    marked = rng.random(count) < CUE
    patches[marked, 0] = cues[predicted[marked]] + 0.6 * rng.standard_normal((int(marked.sum()), WIDTH), np.float32)
    cells = GRID[0] * GRID[1]
    shares = rng.standard_gamma(0.5, (count, cells), np.float32)
    shares /= shares.sum(axis=1, keepdims=True)
    return Observations(
        predicted,
        classes,
        shares,
        GRID,
        patches,
        np.sort(shares, axis=1)[:, ::-1][:, :PATCHES].copy(),
        0.3 * rng.standard_normal((count, WIDTH), np.float32),
        {name: Property(rng.normal(size=count), measured=True) for name in MEASURED},
    )


def search_row(count: int, classes: int) -> dict[str, Any]:
    """Seconds of the search in memory."""
    seen = observations(count, classes)
    started = time.perf_counter()
    candidates = detect(seen)
    detected = time.perf_counter()
    chance = chance_of(seen)
    found = ranked([c for c in candidates if c.score > chance.highest(c.kind)], 12)
    done = time.perf_counter()
    return {
        "what": "search in memory",
        "samples": count,
        "classes": classes,
        "seconds": round(done - started, 2),
        "seconds_detect": round(detected - started, 2),
        "seconds_chance": round(done - detected, 2),
        "candidates": len(candidates),
        "suspects": len(found),
    }


def command_row(count: int, classes: int) -> dict[str, Any]:
    """Seconds of `jobs suspects --no-verify` on a store, reading it included."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "store", create=True)
        write_observations(store, observations(count, classes), classes)
        started = time.perf_counter()
        result = find_suspects(SuspectsSpec(run="scale", store=str(store.root), verify=False))
        seconds = time.perf_counter() - started
    return {
        "what": "command without interventions",
        "samples": count,
        "classes": classes,
        "seconds": round(seconds, 2),
        "suspects": len(result.suspects),
    }


def write_observations(store: Store, seen: Observations, classes: int) -> None:
    """The observations as a finished run."""
    assert seen.shares is not None and seen.patches is not None and seen.rest is not None
    names = [f"class {k}" for k in range(classes)]
    model = {"name": "synthetic", "grid": list(GRID), "class_names": names}
    dataset = {"root": "/", "fingerprint": "synthetic", "samples": len(seen), "metadata": []}
    strongest = np.argsort(-seen.shares, axis=1)[:, :PATCHES]
    with store.writer("scale", {"spec": {}, "model": model, "dataset": dataset, "versions": {}, "notes": []}) as writer:
        for part, start in enumerate(range(0, len(seen), PART)):
            rows = []
            for k in range(start, min(start + PART, len(seen))):
                number = int(seen.predicted[k])
                states = np.concatenate([seen.patches[k], seen.rest[k][None]]).reshape(-1)
                rows.append(
                    {
                        "sample_id": k, "uri": f"{k}.jpg", "target": "predicted", "modality": "image", "score": 1.0,
                        "predicted": names[number], "predicted_index": number, "label_index": number,
                        "map": seen.shares[k], "grid_h": GRID[0], "grid_w": GRID[1],
                        "patch_tokens": strongest[k].tolist(), "patch_states": states,
                        **{name: float(seen.properties[name].values[k]) for name in MEASURED},
                    }
                )  # fmt: skip
            writer.commit_part(part, parts_table(rows, []))
        writer.seal()
        writer.finish("finished")


def main() -> None:
    """Measure, print, and write JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 10_000, 50_000, 200_000])
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100])
    options = parser.parse_args()
    console, rows = Console(stderr=True), []
    for classes in options.classes:
        first: dict[str, Any] | None = None
        for count in options.sizes:
            row = search_row(count, classes)
            first = first or row
            growth = row["seconds"] / first["seconds"]
            linear = count * math.log(count) / (first["samples"] * math.log(first["samples"]))
            rows.append({**row, "growth": round(growth, 2), "n_log_n": round(linear, 2)})
            console.print(rows[-1])
    rows.append(command_row(options.sizes[min(1, len(options.sizes) - 1)], options.classes[0]))
    console.print(rows[-1])
    report("suspects_scale", rows, options.json)


if __name__ == "__main__":
    main()
