"""`run_audit`: explain every sample of a dataset into a store, or go on where an earlier call stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from jobs.errors import Interrupted
from jobs.intake import take_in
from jobs.overview import zero_row_counts
from jobs.pipeline.plan import Plan
from jobs.pipeline.progress import Reporter, Tally
from jobs.spec import RunSpec

if TYPE_CHECKING:
    from jobs.prepare import Prepared
    from storage import RunWriter


@dataclass(frozen=True)
class RunResult:
    """What a call of `run_audit` did. `samples` = explained + failed + skipped.

    `skipped` counts samples of parts that earlier calls finished; `total_explained`, `total_failed`, `failures` and
    `accuracy` speak of the whole run. `seconds` begins with the first picture, after the model was loaded.
    """

    run: str
    store: str
    samples: int
    explained: int
    failed: int
    skipped: int
    seconds: float
    samples_per_second: float
    resumed_parts: int
    total_explained: int
    total_failed: int
    failures: list[dict[str, Any]]  # reason, n; most frequent first
    accuracy: float | None
    labelled: int
    shares: dict[str, float]
    remarks: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    zero_rows: dict[str, int] | None = None  # explanations, of which so many `met` a row of zeros (0/0)
    dashboard: str = ""

    def to_json(self) -> dict[str, Any]:
        """The document of `run --json`."""
        return asdict(self)


def run_audit(spec: RunSpec, progress: Reporter | None = None) -> RunResult:
    """Explain every sample that is not in the store yet and return what was done.

    Raises `JobError`, `engine.EngineError` or `storage.StoreError` with one clear line; `Interrupted` after Ctrl-C,
    when everything finished is safe.
    """
    intake = take_in(spec)
    from jobs.prepare import prepare  # torch: only once the data and the store are known to be there

    job = prepare(intake)
    return _run(job, progress or Reporter())


def _run(job: Prepared, reporter: Reporter) -> RunResult:
    from engine.errors import EngineError

    explain_all = _launcher(job.spec.launcher)
    with (
        job.store.sending(job.run),
        job.store.writer(job.run, job.record, may_differ=tuple(job.spec.options())) as writer,
    ):
        for warning in job.warnings:
            reporter.note(f"note: {warning}")
        for part, why in writer.redo.items():
            reporter.note(f"note: part {part} is computed again: {why}")
        plan = Plan(len(job.dataset), job.spec.part_size, frozenset(writer.committed))
        tally = Tally(plan.samples, plan.samples_in(plan.done), plan.parts, len(plan.done))
        remarks: Counter[str] = Counter()
        try:
            if plan.pending:
                remarks = explain_all(job, plan, writer, tally, reporter)
                writer.update_progress(tally.heartbeat())
            writer.seal()
            writer.finish("finished")
        except EngineError:  # not one sample could be explained: this model, this method, not these data
            writer.withdraw()
            raise
        except KeyboardInterrupt:
            safe = plan.samples_in(writer.committed)
            raise Interrupted(f"interrupted, {safe} samples safe, run the same command to go on") from None
    return _result(job, plan, tally, remarks)


def _launcher(name: str) -> Callable[[Prepared, Plan, RunWriter, Tally, Reporter], Counter[str]]:
    """What explains the pending parts: this machine, or a cluster."""
    if name == "ray":
        from jobs.pipeline.distributed import explain_on_ray

        return explain_on_ray
    from jobs.pipeline.stages import explain_all

    return explain_all


def _result(job: Prepared, plan: Plan, tally: Tally, remarks: Counter[str]) -> RunResult:
    """Sum up this call, and the whole run from what the store holds."""
    reader = job.store.reader(job.run)
    try:
        failures = reader.query("SELECT reason, count(*) AS n FROM failures GROUP BY reason ORDER BY n DESC, reason")
        total = reader.progress()
        found = reader.query(
            "SELECT avg(correct::INT) AS accuracy, count(correct) AS labelled FROM explanations "
            "WHERE modality = ? AND target = ?",
            [job.loaded.modalities[0], job.targets[0].name],
        )[0]
        zero_rows = zero_row_counts(reader)
    finally:
        reader.close()
    return RunResult(
        run=job.run,
        store=job.store.address,
        samples=plan.samples,
        explained=tally.explained,
        failed=tally.failed,
        skipped=tally.skipped,
        seconds=round(tally.seconds, 3) if tally.done else 0.0,
        samples_per_second=round(tally.rate, 3) if tally.done else 0.0,
        resumed_parts=len(plan.done),
        total_explained=total.explained,
        total_failed=total.failed,
        failures=failures,
        accuracy=found["accuracy"],
        labelled=found["labelled"],
        shares={stage: round(share, 4) for stage, share in tally.shares().items()},
        remarks=dict(remarks),
        warnings=list(job.warnings),
        zero_rows=zero_rows,
        dashboard=f"python -m dashboard --store {job.spec.store}",
    )
