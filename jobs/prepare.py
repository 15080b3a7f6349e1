"""Everything a run needs before its first sample: checked input, model, class numbers, targets, record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from engine import LoadedModel, list_methods, load_model
from jobs.errors import JobError, unknown
from jobs.intake import Intake
from jobs.labels import NONE, Labels, resolve_labels
from jobs.pipeline.sizing import batch_bytes, default_batch_size, default_workers, workers_for_shared_memory
from jobs.readers import Dataset
from jobs.spec import RunSpec, identity, run_id
from jobs.targets import Target, parse_target
from storage import Store, UnknownRun, metadata_column_names

PACKAGES = ("torch", "timm", "transformers", "open_clip_torch", "numpy", "pillow", "duckdb", "pyarrow")
METADATA_TYPES = {pa.bool_(): "bool", pa.int64(): "int64", pa.float64(): "double", pa.string(): "string"}


@dataclass(frozen=True)
class Prepared:
    """A run that may start. `spec` has every default filled in; `problems` are samples known to be unusable."""

    spec: RunSpec
    run: str
    store: Store
    dataset: Dataset
    loaded: LoadedModel
    targets: list[Target]
    labels: Labels
    start_layer: int
    problems: dict[int, str]
    metadata: list[dict[str, Any]]
    record: dict[str, Any]
    warnings: tuple[str, ...]

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of image tokens."""
        grid = self.record["model"]["grid"]
        return (grid[0], grid[1]) if grid else None


def prepare(intake: Intake) -> Prepared:
    """Load the model and see how it and the data go together.

    Raises `JobError` or `engine.EngineError` with one clear line.
    """
    spec, dataset, store = intake.spec, intake.dataset, intake.store
    _check_method(spec.method)
    loaded = load_model(spec.model, checkpoint=spec.checkpoint, device=_device(spec.device), precision=spec.precision)
    pairs = "text" in loaded.modalities
    if not pairs and not loaded.num_classes:
        raise JobError(f"{spec.model} has no classes to explain: it was made without a classification head")
    labels = resolve_labels(dataset.label, len(dataset), loaded.class_names, None if pairs else loaded.num_classes)
    targets = parse_target(spec.target, model=spec.model, pairs=pairs, names=labels.names, classes=loaded.num_classes)
    problems = {**_unusable(dataset, labels, targets, pairs, spec.model), **labels.problems, **dataset.problems}
    start_layer = _start_layer(spec, loaded)
    target = "both" if len(targets) > 1 else targets[0].name
    chosen = identity(spec, fingerprint=dataset.fingerprint, target=target, start_layer=start_layer)
    run = run_id(spec, chosen)
    card = {**loaded.card(), "class_names": labels.names, "start_layer": start_layer}
    spec = _sized(replace(spec, target=target, start_layer=start_layer), store, run, loaded, card["grid"])
    metadata = _metadata(dataset)
    record = {
        "spec": {**chosen, **spec.options()},
        "model": card,
        "dataset": _described(dataset, metadata),
        "versions": _versions(),
        "notes": [*dataset.notes, *labels.notes, *labels.warnings],
    }
    warnings = (*dataset.notes, *labels.warnings)
    return Prepared(
        spec, run, store, dataset, loaded, targets, labels, start_layer, problems, metadata, record, warnings
    )


def _check_method(name: str) -> None:
    known = [method["name"] for method in list_methods()]
    if name not in known:
        raise unknown("method", name, known)


def _device(name: str) -> str:
    """`auto` is the GPU when there is one."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise JobError(f"--device {name} cannot be used here; --device auto takes what there is") from error
    return name


def _start_layer(spec: RunSpec, loaded: LoadedModel) -> int:
    """The first explained layer; a negative one counts from the end, which differs between two towers."""
    start = loaded.default_start_layer if spec.start_layer is None else spec.start_layer
    layers = min(loaded.layers.values())
    if not -layers <= start < layers:
        raise JobError(f"--start-layer {start}: the model has {layers} layers (0 to {layers - 1}, or -1 for the last)")
    return start


def _unusable(dataset: Dataset, labels: Labels, targets: list[Target], pairs: bool, model: str) -> dict[int, str]:
    """Samples that this model or target cannot use; `JobError` when that would be all of them."""
    if pairs:
        return _without_text(dataset, model)
    if not any(target.is_label for target in targets):
        return {}
    if dataset.label is None:
        raise JobError("target 'label' needs labels: give class folders, or a manifest with a column 'label'")
    if not (labels.index != NONE).any():
        raise JobError(f"target 'label': {'; '.join(labels.warnings) or 'no label is a class of the model'}")
    if len(targets) > 1:  # with `both` the predicted class is still explained
        return {}
    rows = np.flatnonzero(labels.index == NONE).tolist()
    return {row: _why_no_class(dataset.label[row].as_py()) for row in rows}


def _why_no_class(label: str | None) -> str:
    return "no label" if label is None else f"label '{label}' is not a class of the model"


def _without_text(dataset: Dataset, model: str) -> dict[int, str]:
    if dataset.text is None or dataset.text.null_count == len(dataset):
        raise JobError(f"{model} compares pictures with texts: give a manifest with columns 'image' and 'text'")
    return {int(row): "no text" for row in np.flatnonzero(dataset.text.is_null().to_numpy(False))}


def _sized(spec: RunSpec, store: Store, run: str, loaded: LoadedModel, grid: list[int] | None) -> RunSpec:
    """Fill in part size (that of a run which is resumed), batch size and workers."""
    try:
        part_size = store.record(run).spec.get("part_size", spec.part_size)
    except UnknownRun:
        part_size = spec.part_size
    tokens = grid[0] * grid[1] + 1 if grid else 197
    depth = max(loaded.layers.values())
    batch = spec.batch_size or default_batch_size(loaded.model, tokens=tokens, depth=depth, device=_device(spec.device))
    batch = min(batch, part_size)
    workers = spec.workers
    if workers is None:
        workers = workers_for_shared_memory(default_workers(), batch_bytes(batch, loaded.preprocess.size))
    return replace(spec, part_size=part_size, batch_size=batch, workers=workers)


def _metadata(dataset: Dataset) -> list[dict[str, Any]]:
    names = list(dataset.metadata)
    columns = metadata_column_names(names)
    return [
        {"name": name, "column": column, "type": METADATA_TYPES[dataset.metadata[name].type]}
        for name, column in zip(names, columns, strict=True)
    ]


def _described(dataset: Dataset, metadata: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "root": str(dataset.root),
        "kind": dataset.kind,
        "fingerprint": dataset.fingerprint,
        "samples": len(dataset),
        "class_names": dataset.class_names,
        "metadata": metadata,
    }


def _versions() -> dict[str, str]:
    found = {"python": python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # an optional library
            continue
    return found
