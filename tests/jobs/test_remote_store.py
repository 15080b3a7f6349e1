"""`--store URL`: a run is sent part by part, killed, and gone on with by another machine."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import Store
from storage.remote.mirror import CACHE
from tests.jobs.conftest import assert_refused, noise
from tests.jobs.processes import Start, until

SAMPLES, PART = 96, 8
Maps = dict[tuple[int, str], np.ndarray]


def maps_in(store: Store) -> Maps:
    with store.reader(store.run_ids()[0]) as reader:
        ids = [row["sample_id"] for row in reader.query("SELECT sample_id FROM samples ORDER BY sample_id")]
        return reader.maps([(i, "predicted") for i in ids], "image")


@pytest.mark.slow
def test_killed_here_finished_there(start: Start, vit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(SAMPLES):
        noise(tmp_path / f"photos/{i:03}.png", i)
    there = tmp_path / "there"
    command = ["run", "--data", tmp_path / "photos", "--model", vit, "--workers", 1, "--batch-size", 2, "--device"]
    command += ["cpu", "--part-size", PART, "--json", "--store"]
    killed = start(*command, f"file://{there}", **{CACHE: str(tmp_path / "a")})
    until(killed, lambda: len(list(there.glob("runs/*/parts/*.json"))) >= 3)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    resumed = start(*command, f"file://{there}", **{CACHE: str(tmp_path / "b")})
    assert resumed.wait() == 0, resumed.stderr.read_text()
    said = json.loads(resumed.stdout.read_text())
    assert said["skipped"] >= 3 * PART and said["skipped"] + said["explained"] == SAMPLES
    assert said["store"] == f"file://{there}"
    local = start(*command, tmp_path / "local")
    assert local.wait() == 0
    monkeypatch.setenv(CACHE, str(tmp_path / "c"))
    found, expected = maps_in(Store.open(f"file://{there}")), maps_in(Store.open(tmp_path / "local"))
    assert found.keys() == expected.keys() and len(found) == SAMPLES
    assert all(np.array_equal(found[key], expected[key]) for key in found)


def test_commands_read_and_write_it(
    jobs: Any, vit: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"file://{tmp_path / 'there'}"
    monkeypatch.setenv(CACHE, str(tmp_path / "a"))
    done = jobs("run", "--data", photos, "--model", vit, "--store", url, "--name", "one", "--workers", 0, "--json")
    assert done.code == 0, done.err
    assert jobs("suspects", "one", "--store", url, "--json").code == 0
    monkeypatch.setenv(CACHE, str(tmp_path / "b"))
    listed = jobs("list", "--store", url, "--json")
    assert [row["run"] for row in json.loads(listed.out)] == ["one"]
    with Store.open(url).reader("one") as reader:
        assert reader.suspects().about["done"]
    made = jobs("report", "one", "--store", url, "--out", tmp_path / "r.html", "--json")
    assert made.code == 0, made.err
    assert f"--store {url}" in (tmp_path / "r.html").read_text()


def test_wrong_urls_are_refused_before_anything_is_loaded(
    jobs: Any, vit: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path / "a"))
    given = ["run", "--data", photos, "--model", vit, "--store"]
    assert_refused(jobs(*given, "s3x://bucket/audits"), "unknown kind of address s3x://")
    assert_refused(jobs("list", "--store", f"file://{tmp_path}/none"), "there is no store at file://", "jobs run")
    (tmp_path / "file").write_text("")
    assert_refused(jobs(*given, f"file://{tmp_path}/file/audits"), "the store file://", "cannot be")
