"""A person at the dashboard: `python -m tests.reliability.visiting URL STORE WHOLE STOP`.

Opens pages of the newest run in a real Chromium, one after the other, in one window. What the gallery shows must be
the beginning of what it shows of the undisturbed run WHOLE. Ends when there is a file STOP, and prints a JSON document.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from playwright.sync_api import sync_playwright

from storage import Store, list_runs
from tests.dashboard import browser as chrome

PAGES = ("samples", "runs", "samples", "overview", "samples", "suspects")
TILES = '[data-testid="stMain"] [data-testid="stPageLink"]'
ERRORS = '[data-testid="stException"], [data-testid="stAlertContentError"]'
MOST_ERRORS = 20
PAUSE_SECONDS = 1.0
PATIENCE_SECONDS = 1800.0  # this is about right and wrong, not about speed: the machine may be busy


@dataclass
class Visits:
    """What was seen of the dashboard."""

    pages: int = 0
    tiles: int = 0
    health: int = 0
    errors: list[str] = field(default_factory=list)


def visit(page: Any, url: str, name: str, run: str) -> list[str]:
    """Open a page and wait until it is drawn; the texts of the gallery's tiles."""
    page.goto(f"{url}/{name}?v=1&run={run}", timeout=PATIENCE_SECONDS * 1000)
    chrome.settle(page, PATIENCE_SECONDS)
    boxes = page.locator(ERRORS).all_inner_texts()
    assert not boxes, f"page {name} of {run} says {boxes}"
    return list(page.locator(TILES).all_inner_texts()) if name == "samples" else []


def healthy(url: str) -> None:
    with urlopen(f"{url}/_stcore/health", timeout=PATIENCE_SECONDS) as answer:
        assert answer.status == 200, answer.status


def watch(url: str, store: Path, whole: str, stop: Path) -> Visits:
    """Go round until there is a file `stop`."""
    seen = Visits()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chrome.chromium(), args=chrome.CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        said = chrome.watch(page)
        right = visit(page, url, "samples", whole)
        assert len(right) >= 20, right
        names = cycle(PAGES)
        while not stop.exists() and len(seen.errors) < MOST_ERRORS:
            runs = [row["run"] for row in list_runs(Store.open(store)) if row["explained"]]
            try:
                healthy(url)
                seen.health += 1
                tiles = visit(page, url, next(names), runs[0])
                assert tiles == right[: len(tiles)], f"tiles of {runs[0]}: {tiles} instead of {right[: len(tiles)]}"
                seen.pages, seen.tiles = seen.pages + 1, seen.tiles + len(tiles)
            except Exception as error:  # whatever it is: it must not happen
                seen.errors.append(f"{type(error).__name__}: {error}"[:500])
            seen.errors += said
            said.clear()
            page.wait_for_timeout(PAUSE_SECONDS * 1000)  # somebody looks at it
        browser.close()
    return seen


if __name__ == "__main__":
    print(json.dumps(asdict(watch(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])))))
