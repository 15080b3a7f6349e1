"""`python -m tests.reliability.fuzz --inputs 100000 [--target NAME ...] [--minutes 15] [--json FILE]`.

Tries inputs of all targets; exit code 1 when one of them ended in anything but a right result or a clear error.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Any

from tests.reliability.fuzz.pool import Chunk, tallies
from tests.reliability.fuzz.registry import find, targets
from tests.reliability.fuzz.target import REFUSED, RIGHT, Target
from tests.reliability.fuzz.trying import FAILED, Tally

CHUNK = 500


def main() -> int:
    options = _options()
    chosen = [find(name) for name in options.target or targets()]
    chunks = planned(chosen, options.inputs, options.seed)
    start = time.monotonic()
    found = {target.name: Tally() for target in chosen}
    for chunk, tally in tallies(chunks, options.processes, lambda: time.monotonic() - start < options.minutes * 60):
        found[chunk.target].add(tally)
        total = sum(each.inputs for each in found.values())
        print(f"{time.monotonic() - start:6.0f} s  {total:7d}  {chunk.target}", file=sys.stderr, flush=True)
    rows = [{"target": t.name, "what": t.what, **found[t.name].row()} for t in chosen]
    _show(rows)
    for row in rows:
        for failure in row["failures"]:
            print(f"\n{row['target']}: {failure['problem']}\n  {failure['input']}")
    if options.json:
        from benchmarks.harness import report

        report("fuzz", rows, options.json, inputs=sum(row["inputs"] for row in rows), seed=options.seed,
               processes=options.processes, seconds=round(time.monotonic() - start))  # fmt: skip
    return 1 if any(row["failures"] for row in rows) else 0


def planned(chosen: list[Target], inputs: int, number: int) -> list[Chunk]:
    """Chunks of all targets by their shares, mixed, so that a time budget cuts all of them alike."""
    shares = sum(target.share for target in chosen)
    ordered = []
    for target in chosen:
        count = math.ceil(inputs * target.share / shares)
        sizes = [CHUNK] * (count // CHUNK) + ([count % CHUNK] if count % CHUNK else [])
        first = number * 1_000_000
        ordered += [((i + 0.5) / len(sizes), Chunk(target.name, size, first + i)) for i, size in enumerate(sizes)]
    return [chunk for _, chunk in sorted(ordered)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all targets together")
    parser.add_argument("--target", action="append", metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin nothing new after so long")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there")
    return parser.parse_args()


def _show(rows: list[dict[str, Any]]) -> None:
    print(f"{'target':14}{'inputs':>9}{RIGHT:>9}{REFUSED:>9}{FAILED:>9}{'ms each':>9}{'slowest s':>10}")
    for row in rows:
        each = 1000 * row["seconds"] / max(row["inputs"], 1)
        print(f"{row['target']:14}{row['inputs']:9d}{row[RIGHT]:9d}{row[REFUSED]:9d}{row[FAILED]:9d}"
              f"{each:9.1f}{row['slowest']:10.2f}")  # fmt: skip
    print(f"{'all':14}{sum(row['inputs'] for row in rows):9d}")


if __name__ == "__main__":
    sys.exit(main())
