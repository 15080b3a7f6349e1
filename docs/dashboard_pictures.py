"""Photograph every page of the dashboard, light and dark, wide and narrow, on the demo's store.

python docs/dashboard_pictures.py STORE [PAGE ...]         # writes docs/img/dashboard/PAGE-light-wide.webp and so on

For a filled page Faithfulness, evaluate a run of that store first: `python -m jobs evaluate RUN --store STORE`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from PIL import Image
from playwright.sync_api import sync_playwright

from storage import RunReader, Store, queries, read_faithfulness
from tests.dashboard import browser as chrome

OUT = Path(__file__).parent / "img" / "dashboard"
WIDTHS = {"wide": 1440, "narrow": 800}
TALLEST = 2600  # pixels; what lies below is not shown
SECONDS = 120


def views(store: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """Name of a picture: page and parameters of its address."""
    runs = Store.open(store).run_ids()
    scenes = first(store, [run for run in runs if "pairs" not in run], searched)
    pairs = first(store, [run for run in runs if "pairs" in run], searched)
    worded = first(store, [run for run in runs if "pairs" in run], with_words)
    tested = first(store, [scenes, *(run for run in runs if run != scenes)], evaluated)
    other = next((run for run in runs if "pairs" not in run and run != scenes), "")
    of_scenes, of_pairs, of_words, of_tested = ({"v": "1", "run": run} for run in (scenes, pairs, worded, tested))
    return {
        "suspects": ("suspects", of_scenes),
        "evidence": ("evidence", of_scenes),
        "samples": ("samples", of_scenes),
        "sample": ("sample", {**of_scenes, "sample": "12"}),
        "overview": ("overview", of_scenes),
        "suspects-pairs": ("suspects", of_pairs),
        "evidence-pairs": ("evidence", of_pairs),
        "scores": ("scores", of_words),
        "words": ("words", of_words),
        "compare": ("compare", {**of_scenes, "other": other} if other else of_scenes),
        "faithfulness": ("faithfulness", of_tested),
        "report": ("report", of_scenes),
        "runs": ("runs", of_scenes),
        "team": ("team", of_scenes),
    }


def first(store: Path, runs: list[str], wanted: Callable[[RunReader], bool]) -> str:
    """The newest of some runs that has what is wanted, else the newest."""
    for run in runs:
        with Store.open(store).reader(run) as reader:
            if wanted(reader):
                return run
    return runs[0]


def searched(reader: RunReader) -> bool:
    """Whether suspects were found."""
    return bool(reader.suspects().rows)


def evaluated(reader: RunReader) -> bool:
    """Whether the maps were tested."""
    return bool(read_faithfulness(reader.run))


def with_words(reader: RunReader) -> bool:
    """Whether words have maps of their own."""
    return any(row["target"] == "word-1" for row in queries.targets(reader))


def shoot(browser: Any, address: str, width: int, dark: bool) -> bytes:
    """A picture of the whole page; says on the terminal what went wrong on it."""
    context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme="dark" if dark else "light")
    page = context.new_page()
    said = chrome.watch(page)
    page.goto(address)
    chrome.settle(page, SECONDS)
    page.wait_for_timeout(1200)
    tall = page.evaluate("document.querySelector('[data-testid=\"stMain\"]').scrollHeight")
    page.set_viewport_size({"width": width, "height": min(max(1000, int(tall) + 10), TALLEST)})
    chrome.settle(page, SECONDS)
    page.wait_for_timeout(800)
    picture: bytes = page.screenshot()
    for line in said + chrome.exceptions(page):
        sys.stderr.write(f"{address}: {line}\n")
    context.close()
    return picture


def main(store: Path, wanted: list[str]) -> None:
    """Take all pictures, or those of some pages."""
    OUT.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        chrome.server(store, Path(folder) / "log") as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chrome.chromium(), args=chrome.CHROMIUM_FLAGS)
        for name, (page, params) in views(store).items():
            if wanted and name not in wanted:
                continue
            for size, width in WIDTHS.items():
                for theme in ("light", "dark"):
                    taken = shoot(browser, f"{url}/{page}?{urlencode(params)}", width, theme == "dark")
                    image = Image.open(BytesIO(taken)).convert("RGB")
                    image.save(OUT / f"{name}-{theme}-{size}.webp", quality=72, method=6)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
