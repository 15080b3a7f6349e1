"""Everything that the load test needs before it begins: data, an undisturbed run with suspects, the truth."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.reliability.load.independent import hold_to_timm
from tests.reliability.load.pictures import Known, make_pictures
from tests.reliability.load.truth import Truth, read_truth
from tests.reliability.load.writing import call, run_command, suspects_command

FIRST = "first"


@dataclass(frozen=True)
class Ready:
    """A store with one finished run, and what is known of it."""

    manifest: Path
    store: Path
    known: list[Known]
    truth: Truth
    off_from_timm: float


def make_ready(folder: Path, samples: int, part: int, call: Callable[[list[str]], object] = call) -> Ready:
    """Make what is not there yet in a folder; `call` runs the commands of the product to their end."""
    manifest, known = make_pictures(folder / "data", samples)
    store = folder / "store"
    for old in store.glob("runs/live-*"):  # of an earlier test
        shutil.rmtree(old)
    run = store / "runs" / FIRST
    call(run_command(manifest, store, FIRST, part))  # goes on, or finds everything there
    if not (run / "suspects.parquet").exists():
        call(suspects_command(store, FIRST))
    truth = read_truth(run, known, part)
    return Ready(manifest, store, known, truth, hold_to_timm(truth, manifest.parent, known))
