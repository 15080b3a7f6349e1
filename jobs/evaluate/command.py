"""`python -m jobs evaluate RUN`: test how far the maps of a run can be trusted, and keep what was found."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from jobs.errors import Interrupted, JobError
from jobs.evaluate.spec import EvaluateSpec
from storage import RunReader, Store, merge_faithfulness

Progress = Callable[[str, int, int], None]
"""Called with a step's name, how far it is, and of how much."""
Row = dict[str, Any]


@dataclass(frozen=True)
class EvaluateResult:
    """The document of `evaluate --json`. `results` are the rows that this call made."""

    run: str
    store: str
    protocols: list[str]
    samples: int
    seconds: float
    results: list[Row]
    skipped: dict[str, int]
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> Row:
        """Plain values."""
        return asdict(self)


def evaluate(spec: EvaluateSpec, progress: Progress | None = None) -> EvaluateResult:
    """Test the maps of a run; what a protocol found is kept as soon as it is done.

    Raises `JobError`, `engine.EngineError` or `storage.StoreError` with one clear line.
    """
    spec = spec.checked()
    store = Store.open(spec.store)
    run = spec.run or next(iter(store.run_ids()), None)
    if run is None:
        raise JobError(f"the store {store.address} has no runs yet; `python -m jobs run` makes one")
    done: list[str] = []
    with store.reader(run) as reader:
        try:
            return _evaluate(spec, store, reader, progress or (lambda step, done, total: None), done)
        except KeyboardInterrupt:
            kept = f"what {', '.join(done)} found is kept" if done else "nothing was finished"
            raise Interrupted(f"interrupted, {kept}; run the same command to begin the rest again") from None


def _evaluate(
    spec: EvaluateSpec, store: Store, reader: RunReader, progress: Progress, done: list[str]
) -> EvaluateResult:
    started = time.monotonic()
    from jobs.evaluate.protocols import fitting, protocol_rows  # loads torch
    from jobs.evaluate.subject import Subject, sample_ids

    subject = Subject.of(reader, spec)
    names = fitting(subject, spec)
    ids = sample_ids(reader, spec.samples, spec.seed)
    notes: list[str] = []
    results: list[Row] = []
    for name in names:
        rows = protocol_rows(name, subject, ids, spec, reader.record, progress, notes)
        results += rows
        merge_faithfulness(reader.run, rows, {name: _about(spec, subject.target.name, ids)})
        store.send(reader.run.run_id)
        done.append(name)
    return EvaluateResult(
        run=reader.run.run_id,
        store=store.address,
        protocols=names,
        samples=len(ids),
        seconds=round(time.monotonic() - started, 2),
        results=results,
        skipped=dict(subject.skipped),
        notes=list(dict.fromkeys(notes)),
    )


def _about(spec: EvaluateSpec, target: str, ids: np.ndarray) -> Row:
    """How a protocol's results were made, for the record."""
    return {**spec.settings(), "target": target, "tested": len(ids)}
