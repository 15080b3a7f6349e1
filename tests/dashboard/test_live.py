"""A job writes a run in a process of its own while the dashboard is open: the Runs page grows, neither side fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dashboard.__main__ import ROOT
from tests.dashboard import browser as chrome

pytestmark = pytest.mark.browser


@pytest.mark.alone
def test_the_runs_page_grows_with_the_job(chromium: Any, tmp_path: Path) -> None:
    store, log = tmp_path / "store", tmp_path / "server.log"
    words = [sys.executable, "-m", "tests.dashboard.make_store", str(store), "--grow", "14"]
    with chrome.server(store, log) as url:
        context = chromium.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        said = chrome.watch(page)
        page.goto(f"{url}/runs")
        chrome.settle(page)
        assert "Nothing to show yet" in page.locator("h1").first.inner_text()
        job = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            first_line = job.stdout.readline()  # type: ignore[union-attr]
            assert first_line.strip() == "8"
            page.reload()
            page.get_by_text("refreshed every 2 seconds").wait_for(timeout=20_000)
            page.wait_for_function(EXPLAINED, timeout=20_000)
            seen = [explained(page)]
            while len(seen) < 4:
                page.wait_for_function(f"{EXPLAINED} != '{seen[-1]}'", timeout=20_000)
                seen.append(explained(page))
            assert seen == sorted(set(seen)), "the number only grows"
            assert job.poll() is None, "the job was still at work while the page grew"
            other = context.new_page()
            said_there = chrome.watch(other)
            other.goto(f"{url}/samples")  # browsing while the job writes and seals
            chrome.settle(other)
            assert other.locator('[data-testid="stImageLink"]').count() == 24
            _, err = job.communicate(timeout=60)
            assert job.returncode == 0, err
            page.wait_for_function(f"{EXPLAINED} == '320'", timeout=20_000)
            page.locator(".stMarkdownBadge", has_text="finished").wait_for(timeout=20_000)
            assert not said and not said_there
            assert not chrome.exceptions(page) and not chrome.exceptions(other)
        finally:
            job.kill()
            context.close()
    assert "Traceback" not in log.read_text()


EXPLAINED = """[...document.querySelectorAll('[data-testid="stMetric"]')]
    .filter(m => m.innerText.startsWith('Explained')).map(m => m.innerText.split('\\n').pop())[0]"""


def explained(page: Any) -> int:
    return int(page.evaluate(EXPLAINED))
