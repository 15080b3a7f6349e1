"""The data and the model that a run was made with, found again for looking at its samples once more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine import LoadedModel, load_model
from jobs.device import chosen_device
from jobs.errors import JobError
from jobs.prompts import Prompts
from jobs.readers import Dataset, read_dataset
from jobs.spec import weights_hash
from storage import RunRecord


@dataclass(frozen=True)
class Whereabouts:
    """Where the data and the model of a run lie now, if they have moved, and where the model is to run.

    `way_out` is what the user may do instead, for error messages; '' for nothing.
    """

    data: str | None = None
    model: str | None = None
    checkpoint: str | None = None
    device: str = "auto"
    way_out: str = ""

    def hint(self, option: str) -> str:
        """What to do about it, in words."""
        return f"give {option}" + (f", or {self.way_out}" if self.way_out else "")


def find_dataset(record: RunRecord, where: Whereabouts) -> Dataset:
    """Open the data of a run. `JobError` when they are gone or are not the same any more."""
    path = where.data or record.spec.get("data")
    if not path:
        raise JobError(f"run {record.run_id!r} does not say where its data lie: {where.hint('--data')}")
    try:
        dataset = read_dataset(str(path), record.spec.get("allow_outside") or ()).limited(record.spec.get("limit"))
    except JobError as error:
        raise JobError(f"{error} (the data of run {record.run_id!r}); {where.hint('--data')}") from error
    if dataset.fingerprint != record.dataset.get("fingerprint"):
        raise JobError(
            f"--data {path} is not what run {record.run_id!r} was made from (its files differ); "
            f"{where.hint('the right --data')}"
        )
    return dataset


def find_model(record: RunRecord, where: Whereabouts) -> LoadedModel:
    """Load the model of a run. `JobError` when it is gone or is not the same any more."""
    name, checkpoint = where.model or str(record.model.get("name")), where.checkpoint or record.spec.get("checkpoint")
    if checkpoint and not Path(checkpoint).is_file():
        raise JobError(
            f"{checkpoint}: no such file (the weights of run {record.run_id!r}); {where.hint('--checkpoint')}"
        )
    if record.spec.get("weights") is not None and weights_hash(name, checkpoint) != record.spec["weights"]:
        raise JobError(
            f"the model {name} is not what run {record.run_id!r} was made with (it is gone, or its weights "
            f"differ); {where.hint('--model and --checkpoint')}"
        )
    loaded = load_model(
        name,
        checkpoint=checkpoint,
        device=chosen_device(where.device),
        precision=record.spec.get("precision", "fp32"),
    )
    prompts = Prompts.of_record(record.spec)
    return prompts.classifier(loaded) if prompts else loaded
