"""`--launcher ray`: the parts of a run on the machines of a Ray cluster, stored by this process.

Every worker is an actor that loads the model once and explains whole parts. What it found comes back through Ray's
object store to the one process that writes the run: the store needs no place that all machines see, and what a part
looks like does not depend on who made it. Ray starts a worker that died anew and gives it the part again.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from jobs.errors import JobError, one_line
from jobs.pipeline.loading import Batch
from jobs.pipeline.plan import Plan, Task
from jobs.pipeline.progress import Reporter, Tally
from jobs.pipeline.rows import Rows
from jobs.pipeline.sizing import PREFETCH
from jobs.pipeline.stages import Stages
from jobs.pipeline.writing import Part, Writing
from jobs.prepare import Prepared
from jobs.spec import RunSpec
from storage import RunWriter

ROOT = Path(__file__).resolve().parents[2]
AHEAD = 2  # parts that a worker has been given and not finished: one to work on, one to go on with
CORES_EACH = 8  # of a worker without a GPU, where the user names no number of workers
WAIT_SECONDS = 1.0  # how often the progress is shown while no part ends
MISSING = "--launcher ray needs Ray: pip install -r requirements-ray.txt (or leave --launcher out)"


@dataclass
class Done:
    """A part as a worker found it."""

    part: Part
    explained: int = 0
    remarks: Counter[str] = field(default_factory=Counter)


class PartWorker:
    """One worker: a model in memory, and parts to explain with it."""

    def __init__(
        self, spec: RunSpec, folder: str, fingerprint: str, shuffled: Mapping[str, Any] | None, threads: int
    ) -> None:
        import torch

        from jobs.intake import take_in
        from jobs.prepare import prepare

        os.chdir(folder)
        torch.set_num_threads(threads)
        with tempfile.TemporaryDirectory() as nowhere:  # the run's store may lie on another machine
            job = prepare(replace(take_in(replace(spec, store=nowhere)), shuffled=shuffled))
        if job.dataset.fingerprint != fingerprint:
            raise JobError(f"a worker sees other data than this process under {spec.data}; nothing of it was explained")
        self._stages = Stages.of(job)
        self._plan = Plan(len(job.dataset), job.spec.part_size)
        self._batch = job.spec.batch_size or 1
        self._threads = max(1, threads)

    def explain(self, part: int) -> Done:
        """Read, decode and explain all samples of a part."""
        tasks = list(self._plan.only(part).tasks(self._batch))
        done = Done(Part(part))
        for batch, read in self._read(tasks):
            start = time.monotonic()
            outcome = self._stages.explaining(batch)
            done.part.add(outcome, read, time.monotonic() - start)
            done.remarks.update(outcome.remarks)
            done.explained += outcome.explained
        return done

    def _read(self, tasks: list[Task]) -> Iterator[tuple[Batch, float]]:
        """Batches in order with the seconds waited for each, some of them decoded ahead in threads."""
        with ThreadPoolExecutor(self._threads) as pool:
            waiting = deque(pool.submit(self._stages.loading.__getitem__, task) for task in tasks[: PREFETCH + 1])
            for following in [*tasks[PREFETCH + 1 :], *[None] * min(len(tasks), PREFETCH + 1)]:
                start = time.monotonic()
                batch = waiting.popleft().result()
                if following is not None:
                    waiting.append(pool.submit(self._stages.loading.__getitem__, following))
                yield batch, time.monotonic() - start


def explain_on_ray(job: Prepared, plan: Plan, writer: RunWriter, tally: Tally, reporter: Reporter) -> Counter[str]:
    """Explain and store every pending part on a Ray cluster; returns remarks with their counts.

    Raises `JobError` when Ray is missing, cannot be reached, or a worker cannot be started.
    """
    remarks: Counter[str] = Counter()
    with _cluster(job.spec) as ray:
        reporter.start(job.run, tally)
        try:
            with Writing(writer, Rows(job.dataset, job.labels, job.metadata), tally) as writing:
                for done in _finished(ray, job, plan, lambda: reporter.update(tally)):
                    tally.explained += done.explained
                    tally.failed += len(done.part.failures)
                    tally.read += done.part.read
                    tally.compute += done.part.compute
                    remarks.update(done.remarks)
                    writing.put(done.part)
                    reporter.update(tally)
        finally:
            tally.ended = time.monotonic()
            reporter.stop()
    return remarks


def _finished(ray: Any, job: Prepared, plan: Plan, beat: Callable[[], None]) -> Iterator[Done]:
    """Parts as they end, in whatever order; no worker is ahead of the disk by more than a few of them."""
    workers = _workers(ray, job)
    pending, flying = deque(plan.pending), {}
    for worker in workers * AHEAD:
        if pending:
            flying[worker.explain.remote(pending.popleft())] = worker
    try:
        while flying:
            ended, _ = ray.wait(list(flying), num_returns=1, timeout=WAIT_SECONDS)
            beat()
            for reference in ended:
                worker = flying.pop(reference)
                done = ray.get(reference)
                if pending:
                    flying[worker.explain.remote(pending.popleft())] = worker
                yield done
    except ray.exceptions.RayTaskError as error:  # raised inside a worker: its own words
        known = isinstance(error.cause, JobError | EngineError)  # EngineError withdraws the run
        raise (error.cause if known else JobError(one_line(error.cause, 300))) from error
    except ray.exceptions.RayError as error:
        raise JobError(f"a Ray worker is gone for good: {one_line(error, 300)}") from error


def _workers(ray: Any, job: Prepared) -> list[Any]:
    """The actors: one per GPU, or one per eight cores, or as many as the user wants."""
    spec = job.spec
    held = ray.cluster_resources()
    cores, gpus = int(held.get("CPU", 1)), int(held.get("GPU", 0)) if spec.device != "cpu" else 0
    count = spec.ray_workers or gpus or max(1, cores // CORES_EACH)
    each = max(1, cores // count)
    actor = ray.remote(
        num_cpus=min(each, cores),
        num_gpus=min(1.0, gpus / count) if gpus else 0,
        max_restarts=-1,
        max_task_retries=-1,
    )(PartWorker)
    device = "cuda" if spec.device.startswith("cuda:") else spec.device  # Ray says which one a worker sees
    given = replace(spec, launcher="local", name=job.run, device=device, ray_address=None, ray_workers=None)
    shuffled = job.record["model"].get("shuffled")
    return [actor.remote(given, os.getcwd(), job.dataset.fingerprint, shuffled, each) for _ in range(count)]


@contextmanager
def _cluster(spec: RunSpec) -> Iterator[Any]:
    """Ray, connected to the cluster of `--ray-address`, or to one on this machine for as long as the run lasts."""
    try:
        import ray
    except ImportError:
        raise JobError(MISSING) from None
    try:
        ray.init(
            address=spec.ray_address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if spec.ray_address is None else None,
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT), "HF_HUB_DISABLE_TELEMETRY": "1"}},
        )
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise JobError(f"cannot reach a Ray cluster at {spec.ray_address}: {one_line(error, 200)}") from error
    with redirect_stdout(sys.stderr):  # what Ray says of a dead worker must not stand before the document
        try:
            yield ray
        finally:
            ray.shutdown()
