"""`--launcher ray`: two workers on this machine, one of them killed, make the store that this process makes alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from jobs.cli import main
from storage import Store
from tests.jobs.conftest import noise
from tests.jobs.processes import ENVIRONMENT, ROOT
from tests.jobs.test_questions import QUESTION, regions
from tests.jobs.test_ray_absent import refused
from tests.model_folders import visual_bert_folder

SAMPLES, BAD, PART = 240, 119, 8
PARTS = SAMPLES // PART
Row = dict[str, Any]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flat folder of pictures, one of them no picture at all."""
    folder = tmp_path_factory.mktemp("many") / "many"
    for i in range(SAMPLES):
        noise(folder / f"{i:03}.png", i)
    (folder / f"{BAD}.png").write_text("not a picture")
    return folder


def command(data: Path, model: str, store: Path, *more: object) -> list[str]:
    options = ["--store", store, "--name", "run", "--batch-size", 2, "--part-size", PART, "--device", "cpu", "--json"]
    return [str(word) for word in ("run", "--data", data, "--model", model, *options, *more)]


def content(store: Path) -> tuple[list[Row], list[Row], list[Row], np.ndarray]:
    """All rows of samples, explanations and failures in order, and the maps."""
    with Store.open(store).reader("run") as reader:
        samples = reader.query("SELECT * FROM samples ORDER BY sample_id")
        rows = reader.query("SELECT * FROM explanations ORDER BY sample_id")
        failed = reader.query("SELECT * FROM failures ORDER BY sample_id")
        maps = reader.maps([(row["sample_id"], "predicted") for row in rows], "image")
    return samples, rows, failed, np.stack([maps[row["sample_id"], "predicted"] for row in rows])


def workers(driver: psutil.Process) -> list[psutil.Process]:
    """Ray's processes that explain parts."""
    found = []
    for one in driver.children(recursive=True):
        with suppress(psutil.Error):  # some end meanwhile
            if one.is_running() and "PartWorker" in one.name():
                found.append(one)
    return found


def same(mine: Row, other: Row) -> bool:
    """Equal, numbers within 1e-5."""
    return mine.keys() == other.keys() and all(
        np.isclose(mine[key], other[key], rtol=1e-5, atol=1e-6, equal_nan=True)
        if isinstance(mine[key], float) and isinstance(other[key], float)
        else mine[key] == other[key]
        for key in mine
    )


@pytest.mark.slow
@pytest.mark.alone  # Ray gives up when its own processes take more than 15 s to start
def test_two_workers_of_which_one_is_killed_make_the_same_store(data: Path, vit: str, tmp_path: Path) -> None:
    assert main(command(data, vit, tmp_path / "alone", "--workers", 0)) == 0
    words = command(data, vit, tmp_path / "ray", "--launcher", "ray", "--ray-workers", 2)
    with subprocess.Popen(
        [sys.executable, "-m", "jobs", *words],
        cwd=ROOT,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as job:
        driver = psutil.Process(job.pid)
        committed = tmp_path / "ray/runs/run/parts"
        while len(list(committed.glob("*.json"))) < 2:
            assert job.poll() is None, job.communicate()
            time.sleep(0.02)
        os.kill(workers(driver)[0].pid, signal.SIGKILL)
        assert len(list(committed.glob("*.json"))) < PARTS, "killed in the middle"
        out, err = job.communicate(timeout=300)
    assert job.returncode == 0, err
    document = json.loads(out)
    assert (document["explained"], document["failed"]) == (SAMPLES - 1, 1)
    mine, other = content(tmp_path / "ray"), content(tmp_path / "alone")
    for some, others in zip(mine[:3], other[:3], strict=True):
        assert len(some) == len(others) and all(map(same, some, others))
    assert [row["sample_id"] for row in mine[2]] == [BAD]
    np.testing.assert_allclose(mine[3], other[3], rtol=1e-5, atol=1e-7)


@pytest.mark.slow
@pytest.mark.alone
def test_what_a_worker_refuses_is_one_line_and_leaves_no_run(tmp_path: Path) -> None:
    regions(tmp_path, "a.npz")
    for i in range(4):
        noise(tmp_path / f"{i}.png", i)
    rows = [{"image": f"{i}.png", "text": QUESTION, "features": "a.npz"} for i in range(4)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    model = f"hf:{visual_bert_folder(tmp_path / 'visual_bert')}"
    words = command(tmp_path / "rows.jsonl", model, tmp_path / "s", "--method", "lrp", "--launcher", "ray")
    last = refused([*words, "--ray-workers", "1"]).splitlines()[-1]
    assert "VisualBertForQuestionAnswering" in last and "Ray" not in last
    assert Store.open(tmp_path / "s").run_ids() == []
