"""`python -m jobs demo`: paint the demo data, audit both demo models on it, and say what was found."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from jobs.demo.dataset import write_dataset
from jobs.demo.shares import read_findings
from jobs.demo.tables import class_rows, class_table, cue_rows, cue_table, pair_rows, pair_table
from jobs.errors import JobError
from jobs.suspects.show import suspect_lines

if TYPE_CHECKING:
    from jobs.pipeline.progress import Reporter
    from jobs.run import RunResult
    from jobs.suspects.command import SuspectsResult
    from jobs.suspects.show import Steps

SEED = 11
"""Seed of the audited pictures; the models were trained on another one."""
PER_SPLIT = 150
PAIRS = 2 * PER_SPLIT  # a tenth of them has each problem
SHOWN = 5  # suspects that are printed
WEIGHTS = Path(__file__).parent / "weights"
CLASS_TARGET, PAIR_TARGET = "predicted", "clip-score"


@dataclass(frozen=True)
class DemoResult:
    """What the demo found. `classes`, `cues` and `pairs` are the rows of its three tables, `found` is the document of
    `suspects` on the classifier's run, `found_in_pairs` on the other one."""

    runs: list[dict[str, Any]]
    seconds: float
    classes: list[dict[str, Any]] = field(default_factory=list)
    cues: list[dict[str, Any]] = field(default_factory=list)
    pairs: list[dict[str, Any]] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    found_in_pairs: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The document of `demo --json`: the fields of the classifier's run and of its suspects, then all runs and the
        tables. `samples` and `seconds` are those of the run."""
        tables = {"classes": self.classes, "cues": self.cues, "pairs": self.pairs}
        tables["pair_suspects"] = self.found_in_pairs.get("suspects", [])
        return {**self.found, **self.runs[0], "runs": self.runs, "demo_seconds": self.seconds, **tables}


def _paint(folder: Path, counts: dict[str, int], name: str, console: Console) -> Path:
    """Write one of the two data sets, with a progress bar, unless it is there already. Raises `JobError`."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    workers, total = min(os.cpu_count() or 1, 4), sum(counts.values())
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(f"painting {name}", total=total)
        try:
            manifest = write_dataset(
                folder,
                SEED,
                counts,
                name=name,
                workers=workers,
                progress=lambda done, _: bars.update(task, completed=done),
            )
        except OSError as error:
            raise JobError(f"cannot write the demo pictures to {folder}: {error.strerror or error}") from error
        bars.update(task, completed=total)
    return manifest


def _weights(model: str) -> Path:
    """Folder of a demo model, relative where that is possible: run ids should not depend on where the clone lies."""
    folder = WEIGHTS / model
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def _audit(
    manifest: Path, model: str, target: str, store: Path, reporter: Reporter | None, **options: Any
) -> RunResult:
    from jobs.run import run_audit
    from jobs.spec import RunSpec

    spec = RunSpec(data=str(manifest), model=model, target=target, store=str(store), **options)
    return run_audit(spec.checked(), progress=reporter)


def _suspects(run: RunResult, steps: Steps | None) -> SuspectsResult:
    """Search the classifier's run, and test what was found."""
    from jobs.suspects.command import find_suspects
    from jobs.suspects.spec import SuspectsSpec

    spec = SuspectsSpec(run=run.run, store=run.store)
    if steps is None:
        return find_suspects(spec)
    with steps:
        return find_suspects(spec, steps)


def _tables(result: RunResult, manifest: Path, target: str) -> list[Any]:
    from storage import Store

    with Store.open(result.store).reader(result.run) as reader:
        return read_findings(reader, manifest, target)


def run_demo(
    store: Path | str = "audits",
    data_dir: Path | str = "demo_data",
    *,
    limit: int | None = None,
    reporter: Callable[[], Reporter] | None = None,
    steps: Steps | None = None,
    console: Console | None = None,
) -> DemoResult:
    """Paint, audit, search, print. Everything is made from seeds and the committed weights; nothing is downloaded.

    `limit` is the number of pictures per split (150; 300 pairs). A second call finds the data, the explanations and the
    tested suspects there. `reporter()` makes a progress display per run, `steps` shows the searches; tables go to
    `console` (default: stderr).
    """
    started, console = time.monotonic(), console or Console(stderr=True)
    if limit is not None and limit < 1:
        raise JobError(f"--limit {limit}: must be at least 1")
    count, matches, store, root = limit or PER_SPLIT, limit or PAIRS, Path(store), Path(data_dir)
    scenes = _paint(root / "scenes", dict.fromkeys(("aligned", "conflicting", "clean"), count), "demo-scenes", console)
    pairs = _paint(root / "pairs", {"pairs": matches}, "demo-pairs", console)
    # The classifier comes last: the dashboard opens on the newest run.
    clip = f"open_clip:local-dir:{_weights('clip')}"
    captioned = _audit(pairs, clip, PAIR_TARGET, store, reporter and reporter(), evidence=True)
    classified = _audit(scenes, f"timm:local-dir:{_weights('vit')}", "both", store, reporter and reporter())
    runs = [classified, captioned]
    found, matched = _tables(runs[0], scenes, CLASS_TARGET), _tables(runs[1], pairs, PAIR_TARGET)
    tables = class_rows(found), cue_rows(found), pair_rows(matched)
    for table in (class_table(tables[0]), cue_table(tables[1]), pair_table(tables[2])):
        console.print(table)
    about_pairs, suspects = (_suspects(run, steps) for run in (captioned, classified))
    for found_suspects in (about_pairs, suspects):
        for line in suspect_lines(found_suspects, SHOWN):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"look at them: {runs[0].dashboard}", markup=False, soft_wrap=True)
    return DemoResult(
        [run.to_json() for run in runs],
        round(time.monotonic() - started, 2),
        *tables,
        suspects.to_json(),
        about_pairs.to_json(),
    )
