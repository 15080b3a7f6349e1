"""A browser beside a running job: pages follow it, and browsing goes on while it writes and seals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import model_folders
import pytest

from storage import Store
from tests.dashboard import browser as chrome
from tests.dashboard.conftest import ROOT, require_chromium
from tests.jobs.conftest import noise

SAMPLES = 60
PART = 4

EXPLAINED = """[...document.querySelectorAll('[data-testid="stMetric"]')]
    .filter(m => m.innerText.startsWith('Explained')).map(m => m.innerText.split('\\n').pop())[0]"""


@contextmanager
def explaining(data: Path, store: Path, model: Path) -> Iterator[subprocess.Popen[str]]:
    """A job in many small parts; killed if it still runs in the end."""
    words = ["run", "--data", str(data), "--model", str(model), "--store", str(store)]
    words += ["--name", "followed", "--part-size", str(PART), "--batch-size", "2", "--json"]
    pipe = subprocess.PIPE
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "jobs", *words]
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=pipe, stderr=pipe) as job:
        try:
            yield job
        finally:
            job.kill()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of pictures."""
    for i in range(SAMPLES):
        noise(tmp_path / "pictures" / f"{i:02}.png", i)
    return tmp_path / "pictures"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    Store.open(tmp_path / "store", create=True)
    return tmp_path / "store"


@pytest.fixture
def site(store: Path, tmp_path: Path) -> Iterator[str]:
    require_chromium()
    with chrome.server(store, tmp_path / "log") as address:
        yield address


def halt_after(job: subprocess.Popen[str], store: Path, parts: int) -> int:
    """Let a halted job go on until it has kept so many parts, halt it again and return the samples it has kept."""
    folder = store / "runs" / "followed" / "parts"
    job.send_signal(signal.SIGCONT)
    while len(list(folder.glob("*.json"))) < parts:
        assert job.poll() is None, "the job ended before it was halted"
        time.sleep(0.01)
    job.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, job.pid, os.WSTOPPED | os.WNOWAIT)  # what it was writing is on the disk, or is not
    return PART * len(list(folder.glob("*.json")))


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.alone
def test_the_runs_page_follows_a_real_job(data: Path, store: Path, site: str, chromium: Any, tmp_path: Path) -> None:
    """The job is halted (SIGSTOP) between steps, so that it never ends before a slow browser has drawn."""
    model = model_folders.timm_folder(tmp_path / "model", patch_size=2, embed_dim=192, depth=12)
    with explaining(data, store, model) as job:
        explained = halt_after(job, store, 1)
        page, said = chrome.opened(chromium, f"{site}/runs?run=followed")
        for parts in (3, 5, 8):
            page.wait_for_function(f"{EXPLAINED} == '{explained}'", timeout=60_000)
            explained = halt_after(job, store, parts)
        page.wait_for_function(f"{EXPLAINED} == '{explained}'", timeout=60_000)
        job.send_signal(signal.SIGCONT)
        other, said_there = chrome.opened(chromium, f"{site}/samples?run=followed")  # while the job writes and seals
        assert other.locator('[data-testid="stImageLink"]').count() > 0
        out, err = job.communicate(timeout=600)
    assert job.returncode == 0, err
    assert (json.loads(out)["explained"], json.loads(out)["failed"]) == (SAMPLES, 0)
    page.wait_for_function(f"{EXPLAINED} == '{SAMPLES}'", timeout=60_000)
    page.locator(".stMarkdownBadge", has_text="finished").first.wait_for(timeout=60_000)
    assert chrome.exceptions(page) == chrome.exceptions(other) == [] and said == said_there == []
    page.close()
    other.close()
