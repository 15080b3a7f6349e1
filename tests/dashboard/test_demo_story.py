"""The whole story with real parts: the demo through the command line, then a browser beside a running job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import model_folders
import pytest

from tests.dashboard import browser as chrome
from tests.dashboard.conftest import require_chromium

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "jobs" / "demo" / "weights"
LIMIT = 24  # pictures per split

pytestmark = pytest.mark.slow


def jobs(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "jobs", *arguments],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finished(process: subprocess.Popen[str]) -> dict:
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return json.loads(out)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A small demo run: its document, its store and its data."""
    base = tmp_path_factory.mktemp("demo")
    document = finished(
        jobs("demo", "--store", str(base / "store"), "--data", str(base / "data"), "--limit", str(LIMIT), "--json")
    )
    return document, base / "store", base / "data"


def test_demo_explains_everything_and_shows_the_shortcut(demo):
    document, _, _ = demo
    classification, pairs = document["runs"]
    assert classification["explained"] == 3 * LIMIT and classification["failed"] == 0
    assert pairs["explained"] == LIMIT and pairs["failed"] == 0
    rows = {row["class_name"]: row for row in document["classes"]}
    assert len(rows) == 6
    cues = {row["cue"]: row for row in document["cues"]}
    assert cues.keys() == {"tag", "border", "texture"}
    assert all(row["class_name"] in rows and row["fooled"] > 0 for row in cues.values())


def test_a_second_demo_explains_nothing_anew(demo):
    _, store, data = demo
    again = finished(jobs("demo", "--store", str(store), "--data", str(data), "--limit", str(LIMIT), "--json"))
    assert [run["explained"] for run in again["runs"]] == [0, 0]
    assert [run["skipped"] for run in again["runs"]] == [3 * LIMIT, LIMIT]


@pytest.fixture(scope="module")
def site(demo, tmp_path_factory):
    require_chromium()
    with chrome.server(demo[1], tmp_path_factory.mktemp("server") / "log") as address:
        yield address


def opened(browser, address):
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    said = chrome.watch(page)
    page.goto(address)
    chrome.settle(page)
    return page, said


@pytest.mark.browser
@pytest.mark.parametrize(("path", "number"), [("", 0), ("samples", 1), ("sample?sample=3", 1), ("runs", 0)])
def test_every_page_renders_on_the_demo_store(demo, site, chromium, path, number):
    run = demo[0]["runs"][number]["run"]
    separator = "&" if "?" in path else "?"
    page, said = opened(chromium, f"{site}/{path}{separator}run={run}")
    assert chrome.exceptions(page) == [] and said == []
    page.close()


EXPLAINED = """[...document.querySelectorAll('[data-testid="stMetric"]')]
    .filter(m => m.innerText.startsWith('Explained')).map(m => m.innerText.split('\\n').pop())[0]"""


@pytest.mark.alone
@pytest.mark.browser
def test_the_runs_page_follows_a_real_job(demo, site, chromium, tmp_path):
    _, store, data = demo
    manifest = Path(data) / "scenes" / "demo-scenes.csv"
    slow = model_folders.timm_folder(tmp_path / "model", patch_size=2, embed_dim=192, depth=12)
    options = ["--store", str(store), "--name", "followed", "--part-size", "4", "--batch-size", "2", "--json"]
    job = jobs("run", "--data", str(manifest), "--model", str(slow), *options)
    while job.poll() is None and not list((store / "runs" / "followed" / "parts").glob("*.json")):
        time.sleep(0.1)
    page, said = opened(chromium, f"{site}/runs?run=followed")
    other, said_there = opened(chromium, f"{site}/samples?run=followed")  # browsing while the job writes and seals
    assert other.locator('[data-testid="stImageLink"]').count() > 0
    assert job.poll() is None, "the job is still at work"
    seen = []
    while job.poll() is None:
        shown = page.evaluate(EXPLAINED)
        seen += [int(shown)] if shown else []
        time.sleep(0.2)
    result = finished(job)
    assert result["explained"] == 3 * LIMIT and result["failed"] == 0
    assert len(set(seen)) >= 3, "the page followed the job while it ran"
    assert seen == sorted(seen)
    page.wait_for_function(f"{EXPLAINED} == '{3 * LIMIT}'", timeout=60_000)
    page.locator(".stMarkdownBadge", has_text="finished").first.wait_for(timeout=60_000)
    assert chrome.exceptions(page) == chrome.exceptions(other) == [] and said == said_there == []
    page.close()
    other.close()
