"""The demo through the command line, and its pages in a browser."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard import browser as chrome
from tests.dashboard.conftest import ROOT, require_chromium

pytestmark = pytest.mark.slow
LIMIT = 12  # pictures per split


@dataclass(frozen=True)
class Demo:
    """What the command made and printed."""

    document: dict[str, Any]
    store: Path
    data: Path


def demonstrate(store: Path, data: Path) -> dict[str, Any]:
    """`python -m jobs demo` with few pictures: the document it prints."""
    words = ["demo", "--store", str(store), "--data", str(data), "--limit", str(LIMIT), "--json"]
    done = subprocess.run([sys.executable, "-m", "jobs", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    base = tmp_path_factory.mktemp("demo")
    return Demo(demonstrate(base / "store", base / "data"), base / "store", base / "data")


@pytest.fixture(scope="module")
def site(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    require_chromium()
    with chrome.server(demo.store, tmp_path_factory.mktemp("server") / "log") as address:
        yield address


def test_demo_explains_everything_and_shows_the_shortcut(demo: Demo) -> None:
    classification, pairs = demo.document["runs"]
    assert classification["explained"] == 3 * LIMIT and classification["failed"] == 0
    assert pairs["explained"] == LIMIT and pairs["failed"] == 0
    rows = {row["class_name"]: row for row in demo.document["classes"]}
    assert len(rows) == 6
    cues = {row["cue"]: row for row in demo.document["cues"]}
    assert cues.keys() == {"tag", "border", "texture"}
    assert all(row["class_name"] in rows and row["fooled"] > 0 for row in cues.values())


def test_a_second_demo_explains_nothing_anew(demo: Demo) -> None:
    again = demonstrate(demo.store, demo.data)
    assert [run["explained"] for run in again["runs"]] == [0, 0]
    assert [run["skipped"] for run in again["runs"]] == [3 * LIMIT, LIMIT]


@pytest.mark.browser
@pytest.mark.parametrize(("path", "number"), [("", 0), ("samples", 1), ("sample?sample=3", 1), ("runs", 0)])
def test_every_page_renders_on_the_demo_store(site: str, demo: Demo, chromium: Any, path: str, number: int) -> None:
    run = demo.document["runs"][number]["run"]
    separator = "&" if "?" in path else "?"
    page, said = chrome.opened(chromium, f"{site}/{path}{separator}run={run}")
    assert chrome.exceptions(page) == [] and said == []
    page.close()
