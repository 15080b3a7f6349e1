"""The three stages together: load, explain, write, until no part is left."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from jobs.errors import JobError, one_line
from jobs.pipeline.explaining import Begun, Explaining
from jobs.pipeline.loading import Batch, Loading, load
from jobs.pipeline.plan import Plan
from jobs.pipeline.progress import Reporter, Tally
from jobs.pipeline.rows import Rows
from jobs.pipeline.upload import Upload
from jobs.pipeline.writing import Part, Writing
from jobs.prepare import Prepared
from storage import RunWriter

Item = TypeVar("Item")


@dataclass(frozen=True)
class Stages:
    """Reading and explaining, made ready for a job."""

    loading: Loading
    explaining: Explaining

    @classmethod
    def of(cls, job: Prepared) -> Stages:
        """Those of a job."""
        width = job.loaded.region_width if job.loaded.reads_regions else None
        return cls(
            Loading(job.dataset, job.loaded.preprocess, job.shared_grid, job.problems, width, job.enough),
            Explaining(
                job.loaded,
                job.targets,
                job.settings,
                texts=job.dataset.text,
                labels=job.labels.index,
                uris=job.dataset.uris,
                pairs=job.pair_settings,
            ),
        )


def explain_all(job: Prepared, plan: Plan, writer: RunWriter, tally: Tally, reporter: Reporter) -> Counter[str]:
    """Explain and store every pending part; returns remarks about masks, boxes and texts with their counts."""
    stages = Stages.of(job)
    tasks = list(plan.tasks(job.spec.batch_size or 1))
    pin = next(job.loaded.model.parameters()).is_cuda
    batches = load(stages.loading, tasks, job.spec.workers or 0, pin=pin)  # forks: before the first thread starts
    remarks: Counter[str] = Counter()
    with storing(job, writer, tally, reporter) as writing:
        _drain(batches, stages.explaining, writing, tally, remarks, reporter)
    return remarks


@contextmanager
def storing(job: Prepared, writer: RunWriter, tally: Tally, reporter: Reporter) -> Iterator[Writing]:
    """What takes finished parts, with the display of the progress, until the last of them is stored."""
    reporter.start(job.run, tally)
    try:
        with Writing(writer, Rows(job.dataset, job.labels, job.metadata), tally) as writing:
            yield writing
    finally:
        tally.ended = time.monotonic()
        reporter.stop()


def _drain(
    batches: Iterator[Batch],
    explaining: Explaining,
    writing: Writing,
    tally: Tally,
    remarks: Counter[str],
    reporter: Reporter,
) -> None:
    """Explain batch after batch, and hand a part over when its last batch is done."""
    upload = Upload.of(explaining.loaded)
    part: Part | None = None
    # a GPU has its next batch before the results of the last one are fetched: it is never without work
    for begun, read, asked in held_back(_begun(batches, explaining, tally, upload), 0 if upload is None else 1):
        start = time.monotonic()
        outcome = explaining.finish(begun)
        compute = asked + time.monotonic() - start
        part = part or Part(begun.batch.task.part)
        part.add(outcome, read, compute)
        remarks.update(outcome.remarks)
        tally.explained += outcome.explained
        tally.failed += len(outcome.failures)
        tally.compute += compute
        if begun.batch.task.last:
            writing.put(part)
            part = None
        reporter.update(tally)


def _begun(
    batches: Iterator[Batch], explaining: Explaining, tally: Tally, upload: Upload | None
) -> Iterator[tuple[Begun, float, float]]:
    """Each batch once it is begun, with the seconds spent waiting for it and asking for it."""
    for batch, read in _timed(batches, tally):
        start = time.monotonic()
        begun = explaining.begin(batch if upload is None else upload(batch))
        yield begun, read, time.monotonic() - start


def held_back(items: Iterator[Item], count: int) -> Iterator[Item]:
    """The items, each when so many more are there; all that are there before an error is raised."""
    waiting: deque[Item] = deque()
    try:
        for item in items:
            waiting.append(item)
            if len(waiting) > count:
                yield waiting.popleft()
    except Exception:
        yield from waiting
        raise
    yield from waiting


def _timed(batches: Iterator[Batch], tally: Tally) -> Iterator[tuple[Batch, float]]:
    """Each batch with the seconds that were spent waiting for it."""
    while True:
        start = time.monotonic()
        try:
            batch = next(batches)
        except StopIteration:
            return
        except (RuntimeError, OSError, EOFError) as error:  # torch's words for a worker that is gone
            raise JobError(f"a worker process died ({one_line(error, 160)}); run again with fewer --workers") from error
        seconds = time.monotonic() - start
        tally.read += seconds
        yield batch, seconds
