"""What a torture needs: pictures, models, an undisturbed store, and a store to disturb with all that look at it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage import Store
from tests.dashboard import browser as chrome
from tests.jobs.conftest import CLASSES, noise, save_vit, write_manifest
from tests.jobs.processes import ENVIRONMENT, ROOT, Command, begin
from tests.reliability.ground_truth import keep, tables_of
from tests.reliability.trouble import circumstances

WHOLE, SEARCHED = "whole", "searched"  # names of the undisturbed runs; those that are disturbed begin like them
NO_PICTURE = 50
PART = 3
SEAL_EVERY, GRACE_SECONDS = 12, 3.0
SCENES = 18  # of each kind of the demo's scenes


class RealCommand(Command):
    """A command as a user starts it: a new Python that imports everything, and no setting of ours."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        out, err = folder / "stdout", folder / "stderr"
        argv = [sys.executable, "-m", "jobs", *map(str, arguments)]
        with out.open("wb") as stdout, err.open("wb") as stderr:
            self.process = subprocess.Popen(
                argv, cwd=ROOT, env=ENVIRONMENT, stdout=stdout, stderr=stderr, start_new_session=True
            )
        super().__init__(self.process, self.process.pid, out, err)  # type: ignore[arg-type]

    def wait(self) -> int:
        """Exit code, negative for a signal."""
        self.waited = True
        return self.process.wait()


@dataclass(frozen=True)
class Stage:
    """Folders and names."""

    folder: Path
    server: subprocess.Popen[str]

    @property
    def store(self) -> Path:
        """The store that is disturbed."""
        return self.folder / "store"

    @property
    def truths(self) -> Path:
        """Tables of the undisturbed runs."""
        return self.folder / "truths"

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    def run_words(self, name: str, store: Path, workers: int = 2) -> list[object]:
        """`run` of the pictures of noise."""
        data = ["--data", self.folder / "pictures", "--model", f"timm:local-dir:{self.folder / 'tiny_vit'}"]
        sizes = ["--part-size", PART, "--batch-size", PART, "--workers", workers, "--device", "cpu"]
        return ["run", *data, "--store", store, "--name", name, *sizes]

    def suspects_words(self, name: str, store: Path) -> list[object]:
        return ["suspects", name, "--store", store, "--photos", 6, "--top", 4, "--json"]

    def start(self, *words: object, real: bool = False) -> Command:
        """Begin a command; runs are sealed often and replaced parts go early, unless it is started as a user does."""
        if real:
            return RealCommand(self.folder, *words)
        environment = circumstances(seal_every=SEAL_EVERY, grace_seconds=GRACE_SECONDS)
        return begin(self.server, self.folder, *words, environment=environment)

    def finish(self, *words: object) -> dict[str, Any]:
        """Run a command to its end, undisturbed; its document."""
        command = self.start(*words, *([] if "--json" in words else ["--json"]))
        assert command.wait() in (0, 1), command.stderr.read_text()
        document: dict[str, Any] = json.loads(command.stdout.read_text())
        return document


def set_up(stage: Stage, pictures: int, search: bool) -> dict[str, Any]:
    """Make data and models, explain them undisturbed, keep the tables, and begin the store to disturb with copies of
    both runs. Returns the document of the undisturbed search for suspects; without `search` there is neither that nor
    the run in which suspects are found."""
    _make_pictures(stage.folder, pictures)
    quiet = stage.folder / "quiet"
    stage.finish(*stage.run_words(WHOLE, quiet))
    if search:
        stage.finish(*_scenes_words(stage.folder, quiet))
    store = Store.open(quiet)
    for name in store.run_ids():
        with store.reader(name) as reader:
            keep(tables_of(reader), stage.truths / name)
    shutil.copytree(quiet, stage.store)
    stage.reports.mkdir()
    return stage.finish(*stage.suspects_words(SEARCHED, quiet)) if search else {}


def _make_pictures(folder: Path, pictures: int) -> None:
    """Pictures of noise in folders of classes, one of them no picture, and the tiny ViT."""
    save_vit(folder / "tiny_vit", CLASSES)
    for i in range(pictures):
        path = noise(folder / "pictures" / CLASSES[i % 3] / f"{i:04}.png", i)
        if i == NO_PICTURE:
            path.write_text("not a picture")


def _scenes_words(folder: Path, store: Path) -> list[object]:
    """`run` of some of the demo's scenes, in which suspects are found."""
    from jobs.demo.command import SEED, WEIGHTS
    from jobs.demo.dataset import write_dataset

    counts = dict.fromkeys(("aligned", "conflicting", "clean"), SCENES)
    with write_dataset(folder / "scenes", SEED, counts).open(newline="") as file:
        rows = [{name: row[name] for name in ("image", "label", "mask")} for row in csv.DictReader(file)]
    data = write_manifest(folder / "scenes" / "scenes.csv", rows)
    model = f"timm:local-dir:{shutil.copytree(WEIGHTS / 'vit', folder / 'vit')}"
    words = ["--store", store, "--name", SEARCHED, "--workers", 0, "--part-size", PART, "--device", "cpu"]
    return ["run", "--data", data, "--model", model, *words]


@contextmanager
def onlookers(stage: Stage, dashboard: bool) -> Iterator[list[dict[str, Any]]]:
    """A reading process, and a dashboard with a browser, until the end of the context; then what they have seen."""
    stop, said = stage.folder / "stop", list[dict[str, Any]]()
    with _watched(stage, dashboard, stop) as processes:
        try:
            yield said
        finally:
            stop.touch()
        for name, process in processes.items():
            out, err = process.communicate(timeout=1800)
            assert process.returncode == 0, f"{name} ended with {process.returncode}: {err[-2000:]}"
            said.append({"who": name, **json.loads(out)})
    log = (stage.folder / "dashboard.log").read_text() if dashboard else ""
    assert "Traceback" not in log, log[-3000:]


@contextmanager
def _watched(stage: Stage, dashboard: bool, stop: Path) -> Iterator[dict[str, subprocess.Popen[str]]]:
    reading = _beside("watching", stage.store, stage.truths, stop)
    processes = {"reader": reading}
    try:
        if not dashboard:
            yield processes
            return
        with chrome.server(stage.store, stage.folder / "dashboard.log") as url:
            processes["dashboard"] = _beside("visiting", url, stage.store, WHOLE, stop)
            yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def _beside(module: str, *arguments: object) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", f"tests.reliability.{module}", *map(str, arguments)]
    pipe = subprocess.PIPE
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)
