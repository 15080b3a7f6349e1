"""How large is a report, how long does it take to make it, and how long until a browser has opened it?

    python benchmarks/report.py --store audits [--json FILE] [--rounds 3]

For every run with suspects: bytes, seconds from the opened store to the finished file (in one process, the first time
and again; and seconds of the processor, which other work on the machine hardly touches), and seconds until Chromium,
without a network, has loaded the file and decoded every picture.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from playwright.sync_api import Browser, sync_playwright
from streamlit.logger import set_log_level

set_log_level("error")  # without a server Streamlit warns of every cache, from the first import on

from benchmarks.harness import report  # noqa: E402
from dashboard.data import Run, runs  # noqa: E402
from dashboard.report.make import make, write  # noqa: E402
from dashboard.report.options import Options  # noqa: E402

DECODED = "Promise.all([...document.images].map((image) => image.decode())).then(() => document.images.length)"


def opened(browser: Browser, place: Path) -> tuple[float, int]:
    """Seconds until a new context has shown the file and decoded its pictures, and how many those are."""
    context = browser.new_context()
    context.set_offline(True)
    page = context.new_page()
    begun = time.perf_counter()
    page.goto(place.as_uri())
    pictures = page.evaluate(DECODED)
    seconds = time.perf_counter() - begun
    context.close()
    return seconds, int(pictures)


def measured(store: Path, name: str, browser: Browser, rounds: int) -> dict[str, Any]:
    """One row."""
    run, seconds, cpu = Run.open(store, name), [], []
    for _ in range(rounds):
        begun, worked = time.perf_counter(), time.process_time()
        made = make(run, Options())
        seconds.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - worked)
    run.reader.close()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / made.name
        write(place, made.content)
        times = [opened(browser, place) for _ in range(rounds)]
    return {
        "run": name,
        "suspects": made.suspects,
        "samples": made.samples,
        "pictures": times[0][1],
        "bytes": len(made.content),
        "shrunk": made.shrunk,
        "interactive": made.interactive,
        "seconds_first": round(seconds[0], 2),
        "seconds_again": round(statistics.median(seconds[1:] or seconds), 2),
        "cpu_seconds_first": round(cpu[0], 2),
        "seconds_to_open": round(statistics.median(second for second, _ in times), 2),
        "seconds_to_open_worst": round(max(second for second, _ in times), 2),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--store", type=Path, default=Path("audits"))
    options.add_argument("--json", type=Path)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    store = given.store.expanduser().absolute()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        names = [str(row["run"]) for row in runs(store) if row["state"] != "unreadable"]
        rows = [measured(store, name, browser, given.rounds) for name in names if Run.open(store, name).suspects().rows]
        browser.close()
    for row in rows:
        print(row)
    report("report", rows, given.json)


if __name__ == "__main__":
    main()
