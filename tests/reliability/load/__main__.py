"""Browser sessions use the dashboard while a job writes; every page is compared with what it has to show.

python -m tests.reliability.load --sessions 20 --minutes 5 [--samples 1800] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.harness import report
from tests.reliability.load.holding import Load, hold, problems
from tests.reliability.load.ready import make_ready

SHOWN = 20  # problems that are printed


def main() -> int:
    """Run the test; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20, help="browser contexts with a tab each")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--samples", type=int, default=1800, help="pictures that the job explains, again and again")
    parser.add_argument("--part", type=int, default=16, help="samples per part")
    parser.add_argument("--pause", type=float, default=10, help="mean seconds between the steps of a visitor")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep data and store here; what is there already is used again")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that server, browser and job are stopped too
    with tempfile.TemporaryDirectory(prefix="relevancy-audit-load-") as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        say(f"painting, explaining and checking {options.samples} samples, undisturbed")
        ready = make_ready(folder, options.samples, options.part)
        load = Load(options.sessions, options.minutes, options.pause, options.seed)
        rows = hold(ready, load, folder, say)
        about = {"samples": options.samples, "part": options.part, "confidence_off_from_timm": ready.off_from_timm}
        report("load", rows, options.json, **about)
    for row in rows:
        say(" ".join(f"{name}={value}" for name, value in row.items() if not isinstance(value, list)))
    found = problems(rows[0])
    for line in found[:SHOWN]:
        say(line)
    say(f"{len(found)} problems" if found else "nothing was wrong")
    return bool(found)


def say(line: str) -> None:
    """Print a line where a person looks."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
