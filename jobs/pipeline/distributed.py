"""`--launcher ray`: the parts of a run on the machines of a Ray cluster, stored by this process.

Every worker is an actor that loads the model once and explains whole parts. What it found comes back through Ray's
object store to the one process that writes the run: the store needs no place that all machines see, and what a part
looks like does not depend on who made it. Ray starts a worker that died anew and gives it the part again.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from jobs.errors import JobError, one_line
from jobs.pipeline.loading import Batch
from jobs.pipeline.plan import Plan, Task
from jobs.pipeline.progress import Reporter, Tally
from jobs.pipeline.sizing import PREFETCH
from jobs.pipeline.stages import Stages, storing
from jobs.pipeline.writing import Part
from jobs.prepare import Prepared
from jobs.spec import RunSpec
from storage import RunWriter, StoreError

ROOT = Path(__file__).resolve().parents[2]
AHEAD = 2  # parts that a worker has been given and not finished: one to work on, one to go on with
CORES_EACH = 8  # of a worker without a GPU, where the user names no number of workers
WAIT_SECONDS = 1.0  # how often the progress is shown while no part ends
REACH_SECONDS = 10.0  # to connect to the machine of `--ray-address`
# Ray tries twenty times for 40 s each to reach a cluster: a quarter of an hour without a word.
ATTEMPTS = ("RAY_gcs_server_port_wait_time_s", "1")
# A process that has not come up after a minute is killed and started anew by Ray, on a busy machine for ever.
PATIENCE = ("RAY_worker_register_timeout_seconds", "600")
STARTS = 2  # of Ray on this machine: its own processes give each other 15 s, which a busy machine may exceed once
PART_RETRIES = 5  # with a new worker, when one dies over a part: out of memory again and again must end
MISSING = "--launcher ray needs Ray: pip install -r requirements-ray.txt (or leave --launcher out)"


@dataclass
class Done:
    """A part as a worker found it."""

    part: Part
    explained: int = 0
    remarks: Counter[str] = field(default_factory=Counter)


class PartWorker:
    """One worker: a model in memory, and parts to explain with it.

    The model is loaded for the first part: of an error while Ray makes an actor only a text comes back.
    """

    def __init__(
        self, spec: RunSpec, folder: str, fingerprint: str, shuffled: Mapping[str, Any] | None, threads: int
    ) -> None:
        self._spec = spec
        self._folder = folder
        self._fingerprint = fingerprint
        self._shuffled = shuffled
        self._threads = max(1, threads)
        self._stages: Stages | None = None

    def explain(self, part: int, known: int) -> Done:
        """Read, decode and explain all samples of a part. `known`: how many samples all workers have explained so far;
        as long as there is none, a part of which none can be explained is an `EngineError`, as it is for one process.
        """
        stages = self._stages = self._stages or self._prepared()
        stages.explaining.explained = max(stages.explaining.explained, known)
        plan = Plan(len(stages.loading.dataset), self._spec.part_size)
        done = Done(Part(part))
        for batch, read in self._read(stages, list(plan.only(part).tasks(self._spec.batch_size or 1))):
            start = time.monotonic()
            outcome = stages.explaining(batch)
            done.part.add(outcome, read, time.monotonic() - start)
            done.remarks.update(outcome.remarks)
            done.explained += outcome.explained
        return done

    def _prepared(self) -> Stages:
        """What the process that started the run has prepared, once more here. Raises `JobError` for other data."""
        import torch

        from jobs.intake import take_in
        from jobs.prepare import prepare

        os.chdir(self._folder)
        torch.set_num_threads(self._threads)
        with tempfile.TemporaryDirectory() as nowhere:  # the run's store may lie on another machine
            job = prepare(replace(take_in(replace(self._spec, store=nowhere)), shuffled=self._shuffled))
        if job.dataset.fingerprint != self._fingerprint:
            raise JobError(
                f"a worker sees other data than this process under {self._spec.data}; nothing of it was explained"
            )
        self._spec = job.spec
        return Stages.of(job)

    def _read(self, stages: Stages, tasks: list[Task]) -> Iterator[tuple[Batch, float]]:
        """Batches in order with the seconds waited for each, some of them decoded ahead in threads."""
        with ThreadPoolExecutor(self._threads) as pool:
            waiting = deque(pool.submit(stages.loading.__getitem__, task) for task in tasks[: PREFETCH + 1])
            for following in [*tasks[PREFETCH + 1 :], *[None] * min(len(tasks), PREFETCH + 1)]:
                start = time.monotonic()
                batch = waiting.popleft().result()
                if following is not None:
                    waiting.append(pool.submit(stages.loading.__getitem__, following))
                yield batch, time.monotonic() - start


def explain_on_ray(job: Prepared, plan: Plan, writer: RunWriter, tally: Tally, reporter: Reporter) -> Counter[str]:
    """Explain and store every pending part on a Ray cluster; returns remarks with their counts.

    Raises `JobError` when Ray is missing, cannot be reached, or a worker cannot be started.
    """
    remarks: Counter[str] = Counter()
    with (
        _cluster(job.spec) as ray,
        storing(job, writer, tally, reporter) as writing,
        closing(_finished(ray, job, plan, tally, reporter)) as finished,
    ):
        for done in finished:
            tally.explained += done.explained
            tally.failed += len(done.part.failures)
            tally.read += done.part.read
            tally.compute += done.part.compute
            remarks.update(done.remarks)
            writing.put(done.part)
            reporter.update(tally)
    return remarks


@dataclass(frozen=True)
class Given:
    """A part that a worker was given, when all workers together had explained `known` samples."""

    worker: Any
    part: int
    known: int


def _finished(ray: Any, job: Prepared, plan: Plan, tally: Tally, reporter: Reporter) -> Generator[Done, None, None]:
    """Parts as they end, in whatever order; no worker is ahead of the disk by more than a few of them."""
    pending, flying = deque(plan.pending), {}

    def give(worker: Any, part: int) -> None:
        flying[worker.explain.remote(part, tally.explained)] = Given(worker, part, tally.explained)

    for worker in _workers(ray, job) * AHEAD:
        if pending:
            give(worker, pending.popleft())
    try:
        while flying:
            ended, _ = ray.wait(list(flying), num_returns=1, timeout=WAIT_SECONDS)
            reporter.update(tally)
            for given, reference in [(flying.pop(reference), reference) for reference in ended]:
                done = _outcome(ray, reference, again=tally.explained > given.known)
                if done is None:
                    give(given.worker, given.part)
                    continue
                if pending:
                    give(given.worker, pending.popleft())
                yield done
    except ray.exceptions.RayError as error:
        raise JobError(f"a Ray worker is gone for good: {one_line(error, 300)}") from error


def _outcome(ray: Any, reference: Any, again: bool) -> Done | None:
    """What a worker found. Raises what it raised, in its own words; None when an `EngineError` may be tried `again`:
    other workers have explained samples meanwhile, so it is about these samples and not about the model."""
    try:
        done: Done = ray.get(reference)
        return done
    except ray.exceptions.RayTaskError as error:
        if again and isinstance(error.cause, EngineError):
            return None
        known = isinstance(error.cause, JobError | EngineError | StoreError)  # EngineError withdraws the run
        raise (error.cause if known else JobError(one_line(error.cause, 300))) from error


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
        max_task_retries=PART_RETRIES,
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
    address = os.environ.get("RAY_ADDRESS") or spec.ray_address  # Ray's own order
    if address is not None:
        _reach(address)
        os.environ.setdefault(*ATTEMPTS)
    os.environ.setdefault(*PATIENCE)
    _connect(ray, spec.ray_address, STARTS if address is None else 1)
    with redirect_stdout(sys.stderr):  # what Ray says of a dead worker must not stand before the document
        try:
            yield ray
        finally:
            ray.shutdown()


def _connect(ray: Any, address: str | None, attempts: int) -> None:
    """Connect to the cluster at an address, or start one here. Raises `JobError` with what Ray said at last."""
    for left in reversed(range(attempts)):
        try:
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=False if address is None else None,
                runtime_env={"env_vars": {"PYTHONPATH": str(ROOT), "HF_HUB_DISABLE_TELEMETRY": "1"}},
            )
            return
        except Exception as error:  # Ray raises errors of many kinds, also of its own code
            ray.shutdown()  # what came up of it
            if not left:
                raise JobError(_unreachable(os.environ.get("RAY_ADDRESS") or address, error)) from error


def _reach(address: str) -> None:
    """Raises `JobError` within `REACH_SECONDS` when nobody listens at HOST:PORT or ray://HOST:PORT."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():  # auto, local, or a scheme of somebody else's: Ray knows
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise JobError(_unreachable(address, error)) from error


def _unreachable(address: str | None, error: Exception) -> str:
    if address is None:
        return (
            f"Ray cannot start on this machine: {one_line(error, 200)} (its processes give each other 15 s to start, "
            "which a busy machine may exceed: try again, or leave --launcher out). Nothing was lost"
        )
    return (
        f"cannot reach a Ray cluster at {address} ({one_line(error, 200)}); start one with `ray start --head`, "
        "correct --ray-address, or leave it out to start Ray on this machine. Nothing was lost"
    )
