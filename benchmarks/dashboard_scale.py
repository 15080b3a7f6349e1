"""How fast does the dashboard stay with a million samples?

python benchmarks/dashboard_scale.py --make STORE [--samples 1000000]    write a synthetic store
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console

from benchmarks.harness import report
from benchmarks.scale.make import RUN, make
from benchmarks.scale.measure import measured
from storage import Store

CONSOLE = Console(stderr=True)


def main() -> None:
    """Make a store, or measure one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="folder of the store")
    parser.add_argument("--make", action="store_true", help="write the store first")
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--each", type=int, default=60, help="different questions of each kind")
    parser.add_argument("--pages", action="store_true", help="measure pages in a browser instead of questions")
    parser.add_argument("--views", type=int, default=200, help="page views before the memory is read")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    store = options.store.expanduser().absolute()
    if options.make:
        make(store, options.samples, CONSOLE.print)
        return
    rows = pages(store, options.views) if options.pages else measured(Store.open(store), RUN, options.each, show)
    report("dashboard_pages" if options.pages else "dashboard_scale", rows, options.json, samples=_samples(store))


def pages(store: Path, views: int) -> list[dict[str, Any]]:
    """Measure the pages."""
    from benchmarks.scale.pages import page_rows

    return page_rows(store, RUN, views, show)


def show(row: dict[str, Any]) -> None:
    """Print a row as it is measured."""
    CONSOLE.print(" ".join(f"{key}={value}" for key, value in row.items()))


def _samples(store: Path) -> int:
    with Store.open(store).reader(RUN) as reader:
        return reader.snapshot.contents.samples


if __name__ == "__main__":
    main()
