"""How fast does the dashboard stay with a million samples?

python benchmarks/dashboard_scale.py --make STORE [--samples 1000000]    write a synthetic store
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console

from benchmarks.scale.make import make

CONSOLE = Console(stderr=True)


def main() -> None:
    """Make a store, or measure one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="folder of the store")
    parser.add_argument("--make", action="store_true", help="write the store first")
    parser.add_argument("--samples", type=int, default=1_000_000)
    options = parser.parse_args()
    if options.make:
        make(options.store.expanduser().absolute(), options.samples, CONSOLE.print)


if __name__ == "__main__":
    main()
