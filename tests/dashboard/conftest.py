"""Fixtures of the dashboard's tests: one synthetic store, one server and one browser per session."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.dashboard import browser as chrome
from tests.dashboard import make_store
from tests.once import made_once

ROOT = Path(__file__).resolve().parents[2]
APP = str(ROOT / "dashboard" / "app.py")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a classification run of 200 samples and a run of 40 image-text pairs, both with suspects."""
    made = made_once("dashboard", _store) / "store"
    return shutil.copytree(made, tmp_path_factory.mktemp("dashboard") / "store")  # a server keeps things in it


def _store(folder: Path) -> None:
    make_store.write_pairs(folder / "store", folder / "pairs")
    make_store.write_classes(folder / "store", folder / "classes")
    make_store.write_suspects(folder / "store")


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes an AppTest of the dashboard on a store, with query parameters; not yet run."""

    def make(folder: Path, **params: Any) -> AppTest:
        monkeypatch.setenv("RELEVANCY_AUDIT_STORE", str(folder))
        monkeypatch.setattr("sys.argv", ["app.py"])
        test = AppTest.from_file(APP, default_timeout=60)
        for name, value in params.items():
            test.query_params[name] = value
        return test

    return make


@pytest.fixture(scope="session")
def url(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server on the synthetic store."""
    require_chromium()
    with chrome.server(store, tmp_path_factory.mktemp("server") / "log") as address:
        yield address


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A real headless Chromium."""
    require_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chrome.chromium(), args=chrome.CHROMIUM_FLAGS)
        yield started
        started.close()


def require_chromium() -> None:
    """Without a Chromium: skip with a line that says so, but fail where CI is set."""
    if chrome.chromium() is None:
        line = "no chromium on this machine: browser tests need `apt-get install chromium`"
        if os.environ.get("CI"):
            pytest.fail(line)
        pytest.skip(line)
