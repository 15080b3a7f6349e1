"""`--launcher ray` without Ray, and with a cluster that nobody serves, is one line."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.jobs.conftest import noise
from tests.jobs.processes import ENVIRONMENT, ROOT


@pytest.fixture
def words(vit: str, tmp_path: Path) -> list[str]:
    """The command on two pictures."""
    for i in range(2):
        noise(tmp_path / f"few/{i}.png", i)
    options = ["--store", tmp_path / "s", "--device", "cpu", "--json", "--launcher", "ray"]
    return [str(word) for word in ("run", "--data", tmp_path / "few", "--model", vit, *options)]


def refused(words: list[str], **environment: str) -> str:
    """What a command that exits with 2 says."""
    done = subprocess.run(
        [sys.executable, "-m", "jobs", *words],
        cwd=ROOT,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def test_without_ray_it_says_what_to_install(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "absent" / "ray").mkdir(parents=True)
    (tmp_path / "absent" / "ray" / "__init__.py").write_text("raise ImportError('no module named ray')")
    assert "pip install -r requirements-ray.txt" in refused(words, PYTHONPATH=str(tmp_path / "absent"))


def test_a_cluster_that_nobody_serves_is_one_line_at_once(words: list[str]) -> None:
    with socket.socket() as free:  # bound and not listening: whoever connects is refused
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        began = time.monotonic()
        said = refused([*words, "--ray-address", address]).splitlines()
    assert time.monotonic() - began < 240, "Ray itself would try for a quarter of an hour"
    assert f"cannot reach a Ray cluster at {address}" in said[-1] and "--ray-address" in said[-1]
