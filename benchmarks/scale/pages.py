"""The real server and a real browser on a store: seconds to a settled view of every page, memory of the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import urlencode, urlparse

from benchmarks.scale.make import CLASSES
from tests.dashboard.browser import (
    CHROMIUM_FLAGS,
    chromium,
    exceptions,
    free_port,
    server,
    server_process,
    settle,
    wait_healthy,
)

BARE = Path(__file__).with_name("bare.py")
PATIENCE = 120  # seconds
LIMIT = 3  # seconds
ROUNDS = 2
VIEWS_PER_VISITOR = 20
SORTS = ("confidence", "entropy", "mass", "border_share", "brightness", "iso", "label", "sample_id")
WATCH = """new PerformanceObserver(list => list.getEntries().forEach(entry => window.painted = entry.startTime))
    .observe({type: 'largest-contentful-paint', buffered: true})"""
"""Notes the largest contentful paint (Web Vitals): when the main thing that the window shows was there."""


def page_rows(store: Path, run: str, views: int, said: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
    """One row per page, then one for the memory after some page views with changing parameters."""
    rows = []
    log = store.with_name(store.name + "-server.log")
    with server(store, log) as url, _bare_server() as bare, _browser() as browser:
        _view(browser, bare)  # the first start of the browser costs more
        for name in _pages(browser, url, run):
            rows.append(_first_view(browser, f"{url}/{name}?{urlencode({'run': run})}", bare))
            said(rows[-1])
        if views:
            rows.append(_memory(browser, url, run, views))
            said(rows[-1])
    return rows


@contextmanager
def _bare_server() -> Iterator[str]:
    """A server of one bare page of Streamlit."""
    port = free_port()
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
    command = [sys.executable, "-m", "streamlit", "run", str(BARE), *options, "--browser.gatherUsageStats=false"]
    with TemporaryFile() as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_healthy(url, process, Path(os.devnull))
            yield url
        finally:
            process.terminate()


@contextmanager
def _browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def _pages(browser: Any, url: str, run: str) -> list[str]:
    """Names of the pages, as the navigation links to them."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(f"{url}/?{urlencode({'run': run})}")
    settle(page, PATIENCE)
    page.wait_for_selector('[data-testid="stSidebar"] a', timeout=PATIENCE * 1000)
    links = page.eval_on_selector_all('[data-testid="stSidebar"] a', "all => all.map(a => a.href)")
    links = [link for link in links if link.startswith(url)]
    page.close()
    return list(dict.fromkeys(link.split("?")[0].removeprefix(url).strip("/") for link in links))


def _first_view(browser: Any, address: str, bare: str) -> dict[str, Any]:
    """Seconds until a page is settled: the first of the server, in other new browsers, and in one that has been there.

    `painted_s` and `first_painted_s`: until the largest thing in the window was painted (charts below it may follow).
    Beside them the least that is possible on this machine at this moment: a bare page of Streamlit with one chart.
    """
    ((first, first_painted),), wrong = _view(browser, address, 1)
    limits, new, painted, returning = [], [], [], []
    for _ in range(ROUNDS):
        limits.append(_view(browser, bare, 1)[0][0][0])
        ((seconds, seen), (back, _)), _ = _view(browser, address)
        new.append(seconds)
        painted.append(seen)
        returning.append(back)
    bare_s, again_s = round(median(limits), 2), round(median(new), 2)
    return {
        "page": urlparse(address).path.strip("/"),
        "first_painted_s": first_painted,
        "painted_s": round(median(painted), 2),
        "first_s": first,
        "again_s": again_s,
        "returning_s": round(median(returning), 2),
        "bare_s": bare_s,
        "again_over_bare": round(again_s / bare_s, 2),
        "limit_s": LIMIT,
        "within": first < LIMIT,
        "wrong": wrong,
    }


def _view(browser: Any, address: str, visits: int = 2) -> tuple[list[tuple[float, float]], list[str]]:
    """Of each of some visits in one new browser context seconds until it is settled and painted; errors on it."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_init_script(WATCH)
    try:
        seconds: list[tuple[float, float]] = []
        for _ in range(visits):
            page = context.new_page()
            began = time.perf_counter()
            page.goto(address)
            settle(page, PATIENCE)
            whole = time.perf_counter() - began
            seconds.append((round(whole, 2), round(page.evaluate("window.painted || NaN") / 1000, 2)))
            wrong = exceptions(page)
            page.close()
        return seconds, wrong
    finally:
        context.close()


def _memory(browser: Any, url: str, run: str, views: int) -> dict[str, Any]:
    """Resident memory of the server after page views with changing parameters, by visitors whose tabs stay open."""
    process = server_process(url)
    before, seconds = process.memory_info().rss, []
    page = None
    for number in range(views):
        if page is None or number % VIEWS_PER_VISITOR == 0:
            page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        parameters = {"v": 1, "run": run, "sort": SORTS[number % len(SORTS)], "page": 1 + 37 * number}
        parameters["order"] = ("asc", "desc")[number // 8 % 2]
        if number % 3 == 1:
            parameters["f"] = json.dumps(["label", "in", [CLASSES[number % len(CLASSES)]]])
        name = "sample" if number % 3 == 2 else "samples"
        if name == "sample":
            parameters["sample"] = 1 + 4_001 * number
        began = time.perf_counter()
        page.goto(f"{url}/{name}?{urlencode(parameters)}")
        settle(page, PATIENCE)
        seconds.append(round(time.perf_counter() - began, 2))
    return {
        "page": "memory of the server",
        "views": views,
        "before_mb": round(before / 1e6),
        "after_mb": round(process.memory_info().rss / 1e6),
        "limit_mb": 2000,
        "view_p50_s": sorted(seconds)[len(seconds) // 2] if seconds else None,
    }
