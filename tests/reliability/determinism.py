"""How far results move when only the way they are computed changes: `python -m tests.reliability.determinism`.

For every family and method a run is repeated with another batch size, other numbers of workers and threads, smaller
parts, stopped and continued, from files in another order, and on a Ray cluster of two workers (`--ray`). The table has
the largest difference of any number in any table of the store (`same_store.Difference`).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import report
from engine.errors import EngineError
from jobs.surroundings import quieten
from tests.reliability.repeated import FAMILIES, METHODS, audit, copied_backwards, write_model, write_samples
from tests.reliability.same_store import Difference, difference

SAMPLES = 13
VARIED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "batch 1": {"batch_size": 1},
    "batch 8": {"batch_size": 8},
    "1 worker": {"workers": 1},
    "2 workers": {"workers": 2},
    "2 threads": {"threads": 2},
    "4 threads": {"threads": 4},
    "parts of 2": {"part_size": 2},
    "stopped, continued": {"part_size": 2, "stops": True},
    "order of files": {"backwards": True},
}
RAY = {"ray, 2 workers": {"launcher": "ray", "ray_workers": 2, "part_size": 4}}


def measured(
    varied: dict[str, dict[str, Any]], families: Sequence[str], methods: Sequence[str], folder: Path
) -> list[Any]:
    """A row per family, method and what was varied; a method that a family refuses has one row that says so."""
    manifest = write_samples(folder / "samples", SAMPLES)
    backwards = copied_backwards(manifest, folder / "backwards")
    rows = []
    for family in families:
        model = write_model(family, folder / family.replace(" ", "-"))
        for method in methods:
            base = folder / "base"
            try:
                audit(family, manifest, model, base, method)
            except EngineError as error:
                rows.append({"family": family, "method": method, "varied": None, "refused": str(error)})
                continue
            for name, options in varied.items():
                options = dict(options)
                data = backwards if options.pop("backwards", False) else manifest
                audit(family, data, model, folder / "other", method, **options)
                rows.append(row(family, method, name, difference(folder / "other", base, "run")))
                shutil.rmtree(folder / "other")
                print(line(rows[-1]), flush=True)
            shutil.rmtree(base)
    return rows


def row(family: str, method: str, varied: str, found: Difference) -> dict[str, Any]:
    """One comparison as it is kept."""
    return {
        "family": family,
        "method": method,
        "varied": varied,
        "rows_compared": found.rows,
        "equal_to_the_bit": found.equal,
        "largest": None if found.other else found.largest,
        "largest_in": max(found.columns, key=lambda name: found.columns[name], default=None),
        "largest_of_peak": found.peak,
        "unlike": found.other,
    }


def line(found: dict[str, Any]) -> str:
    """One row of the printed table."""
    head = f"{found['family']:12} {found['method']:8} {found['varied']:20}"
    if found["unlike"]:
        return f"{head} UNLIKE: {', '.join(found['unlike'])}"
    if found["equal_to_the_bit"]:
        return f"{head} equal to the bit ({found['rows_compared']} rows)"
    return f"{head} {found['largest']:.1e} in {found['largest_in']}; maps {found['largest_of_peak']:.1e} of their peak"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 when something differs by more than 1e-5."""
    given = argparse.ArgumentParser(prog="python -m tests.reliability.determinism", description=__doc__)
    given.add_argument("--json", type=Path)
    given.add_argument("--ray", action="store_true", help="also on a Ray cluster of this machine (a minute per run)")
    given.add_argument("--family", action="append", choices=list(FAMILIES))
    given.add_argument("--method", action="append", choices=METHODS)
    options = given.parse_args(argv)
    quieten()
    with tempfile.TemporaryDirectory() as folder:
        families, methods = options.family or list(FAMILIES), options.method or METHODS
        rows = measured({**VARIED, **(RAY if options.ray else {})}, families, methods, Path(folder))
    report("determinism", rows, options.json, samples=SAMPLES)
    compared = [one for one in rows if one["varied"]]
    worst = max((float("inf") if one["largest"] is None else one["largest"] for one in compared), default=0.0)
    exact = sum(one["equal_to_the_bit"] for one in compared)
    print(f"{len(compared)} comparisons, {exact} equal to the bit, largest difference {worst:.1e}")
    return 0 if worst <= 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main())
