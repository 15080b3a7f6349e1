"""What can be checked of a run before torch is imported: options, data, and a store that can be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from jobs.prompts import Prompts, read_prompts
from jobs.readers import Dataset, read_dataset
from jobs.spec import RunSpec
from storage import Store


@dataclass(frozen=True)
class Intake:
    """Checked options, the dataset's rows, the open store, and the texts of `--classes` if it was given.

    `shuffled` holds the scores of shuffled pairs that the run has begun with, where they are known already.
    """

    spec: RunSpec
    dataset: Dataset
    store: Store
    prompts: Prompts | None = None
    shuffled: Mapping[str, Any] | None = None


def take_in(spec: RunSpec) -> Intake:
    """Read the dataset and open (or make) the store. Raises `JobError` or `storage.StoreError`."""
    spec = spec.checked()
    dataset = read_dataset(spec.data, spec.allow_outside)
    prompts = read_prompts(spec.classes, spec.templates, dataset.class_names)
    if spec.limit is not None and spec.limit >= len(dataset):
        spec = replace(spec, limit=None)  # it cuts nothing: the same run as without
    return Intake(spec, dataset.limited(spec.limit), Store.open(spec.store, create=True), prompts)
