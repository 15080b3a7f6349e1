"""Everything a run needs before its first sample: checked input, model, class numbers, targets, record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any

import numpy as np
import pyarrow as pa

from engine import LoadedModel, list_methods, load_model
from engine.models.pairs import PairAdapter
from engine.pairs import check_words, is_whole
from jobs.device import chosen_device
from jobs.errors import JobError, unknown
from jobs.intake import Intake
from jobs.labels import NONE, Labels, resolve_labels
from jobs.needs import Needs, unusable
from jobs.pictures import Enough
from jobs.pipeline.drafting import enough_for
from jobs.pipeline.explaining import Settings
from jobs.pipeline.pairs import PairSettings
from jobs.pipeline.sizing import (
    batch_bytes,
    batch_for_shared_memory,
    default_batch_size,
    default_workers,
    workers_for_shared_memory,
)
from jobs.prompts import Prompts
from jobs.readers import Dataset
from jobs.reference import shuffled_scores
from jobs.spec import MAX_DETECTIONS, THRESHOLD, RunSpec, identity, run_id
from jobs.targets import Target, parse_target
from storage import Store, UnknownRun, metadata_column_names
from storage.media.secrets import shown

REGIONS = 36  # the usual number of region features per picture
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
    def shared_grid(self) -> tuple[int, int] | None:
        """Rows and columns of image tokens, where they are the same for all pictures."""
        grid, preprocess = self.record["model"]["grid"], self.loaded.preprocess
        return (grid[0], grid[1]) if grid and preprocess and not preprocess.varies else None

    @property
    def settings(self) -> Settings:
        """How the engine is to explain."""
        spec = self.spec
        return Settings(
            method=spec.method,
            start_layer=self.start_layer,
            on_zero_row=spec.on_zero_row,
            threshold=THRESHOLD if spec.threshold is None else spec.threshold,
            most=MAX_DETECTIONS if spec.max_detections is None else spec.max_detections,
            patches=spec.patches,
        )

    @property
    def enough(self) -> Enough | None:
        """How small JPEGs may be decoded; None: not at all."""
        preprocess = self.loaded.preprocess
        return enough_for(preprocess) if preprocess is not None and self.spec.decode == "fast" else None

    @property
    def pair_settings(self) -> PairSettings:
        """What else is to be found out about image-text pairs."""
        spec = self.spec
        return PairSettings(
            words=spec.words,
            evidence=spec.evidence,
            reference=self.record["model"].get("shuffled") or {},
            text_start_layer=spec.text_start_layer,
        )


def prepare(intake: Intake) -> Prepared:
    """Load the model and see how it and the data go together.

    Raises `JobError` or `engine.EngineError` with one clear line.
    """
    spec, dataset, store = intake.spec, intake.dataset, intake.store
    _check_method(spec.method)
    loaded, remarks = _loaded(spec, intake.prompts)
    if loaded.task != "pair" and not loaded.num_classes:
        raise JobError(f"{spec.model} has no classes to explain: it was made without a classification head")
    _check_task(spec, loaded)
    _check_decode(spec, loaded)
    labels = _labels(dataset, loaded)
    classes = loaded.num_classes
    targets = parse_target(spec.target, model=spec.model, task=loaded.task, names=labels.names, classes=classes)
    needs = Needs(spec.model, loaded.task, loaded.modalities, loaded.reads_regions)
    problems = {
        **unusable(dataset, needs),
        **_without_class(dataset, labels, targets),
        **labels.problems,
        **dataset.problems,
    }
    start_layer = _start_layer(spec, loaded)
    spec = replace(spec, text_start_layer=_text_start_layer(spec, loaded))
    target = "both" if len(targets) > 1 else targets[0].name
    chosen = identity(
        spec, fingerprint=dataset.fingerprint, target=target, start_layer=start_layer, prompts=intake.prompts
    )
    run = run_id(spec, chosen)
    card = {**loaded.card(), "class_names": labels.names, "start_layer": start_layer}
    if loaded.task == "pair":
        card["shuffled"] = intake.shuffled or _shuffled(store, run, loaded, dataset, targets[0], problems)
    spec = _sized(replace(spec, target=target, start_layer=start_layer), store, run, loaded, card["grid"])
    metadata = _metadata(dataset)
    remarks += _unused(dataset, loaded)
    record = {
        "spec": {**chosen, **_later_options(spec, loaded), **spec.options()},
        "model": card,
        "dataset": _described(dataset, metadata),
        "versions": _versions(),
        "notes": [shown(note) for note in (*dataset.notes, *labels.notes, *labels.warnings, *remarks)],
    }
    warnings = (*dataset.notes, *labels.warnings, *remarks)
    return Prepared(
        spec, run, store, dataset, loaded, targets, labels, start_layer, problems, metadata, record, warnings
    )


def _loaded(spec: RunSpec, prompts: Prompts | None) -> tuple[LoadedModel, list[str]]:
    """The model, made a classifier where `--classes` asks for one, with remarks on its texts."""
    loaded = load_model(
        spec.model, checkpoint=spec.checkpoint, device=chosen_device(spec.device), precision=spec.precision
    )
    if prompts is None:
        return loaded, []
    return prompts.classifier(loaded), prompts.remarks(loaded)


def _shuffled(
    store: Store, run: str, loaded: LoadedModel, dataset: Dataset, target: Target, problems: dict[int, str]
) -> dict[str, Any]:
    """Scores of shuffled pairs; of a run that is resumed those that it began with."""
    try:
        known = store.record(run).model.get("shuffled")
    except UnknownRun:
        known = None
    return known or shuffled_scores(loaded, dataset, target.name, problems)


def _check_method(name: str) -> None:
    known = [method["name"] for method in list_methods()]
    if name not in known:
        raise unknown("method", name, known)


def _start_layer(spec: RunSpec, loaded: LoadedModel) -> int:
    """The first explained layer; a negative one counts from the end, which differs between two towers."""
    start = loaded.default_start_layer if spec.start_layer is None else spec.start_layer
    layers = min(loaded.layers.values())
    if start != 0 and loaded.adapter.steps(loaded.model) is not None:
        raise JobError(f"--start-layer {start}: the streams of this model look at each other, so all layers take part")
    if not -layers <= start < layers:
        raise JobError(f"--start-layer {start}: the model has {layers} layers (0 to {layers - 1}, or -1 for the last)")
    return start


def _text_start_layer(spec: RunSpec, loaded: LoadedModel) -> int | None:
    """The first explained layer of a text tower, None for that of the image tower: all layers, unless the user says
    something of start layers. The authors start at the last block, where words such as "a" and "the" have gathered what
    the others say (docs/clip.md)."""
    own = isinstance(loaded.adapter, PairAdapter) and not is_whole(spec.method)
    return 0 if own and spec.start_layer is None and spec.text_start_layer is None else spec.text_start_layer


def _check_task(spec: RunSpec, loaded: LoadedModel) -> None:
    """`JobError` for an option that this kind of model has not."""
    given = [name for name in ("threshold", "max_detections") if getattr(spec, name) is not None]
    if given and loaded.task != "detect":
        raise JobError(f"--{given[0].replace('_', '-')} is for detectors; {spec.model} is none")
    wanted = [name for name in ("words", "evidence") if getattr(spec, name)]
    wanted += [] if spec.text_start_layer is None else ["text-start-layer"]
    if wanted and not isinstance(loaded.adapter, PairAdapter):
        raise JobError(
            f"--{wanted[0]} is for scores of image-text models with a tower for each (CLIP, SigLIP); {spec.model} "
            "gives none"
        )
    if spec.words:
        check_words(spec.method)
    layers = loaded.layers.get("text", 0)
    if spec.text_start_layer is not None and not -layers <= spec.text_start_layer < layers:
        raise JobError(
            f"--text-start-layer {spec.text_start_layer}: the text tower has {layers} layers "
            f"(0 to {layers - 1}, or -1 for the last)"
        )


def _later_options(spec: RunSpec, loaded: LoadedModel) -> dict[str, Any]:
    """Options that only some models have, for the record, defaults filled in."""
    options: dict[str, Any] = {}
    if loaded.adapter.steps(loaded.model) is not None:  # several streams: only there is relevancy normalised
        options["on_zero_row"] = spec.on_zero_row
    if loaded.task == "detect":
        options["threshold"] = THRESHOLD if spec.threshold is None else spec.threshold
        options["max_detections"] = MAX_DETECTIONS if spec.max_detections is None else spec.max_detections
    return options


def _labels(dataset: Dataset, loaded: LoadedModel) -> Labels:
    """Class numbers of the samples; none for pairs, and none for detectors, whose pictures hold many objects."""
    if loaded.task in ("classify", "answer"):
        return resolve_labels(dataset.label, len(dataset), loaded.class_names, loaded.num_classes)
    return Labels(np.full(len(dataset), NONE, np.int32), loaded.class_names)


def _without_class(dataset: Dataset, labels: Labels, targets: list[Target]) -> dict[int, str]:
    """Samples whose own label cannot be explained; `JobError` when that would be all of them."""
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


def _unused(dataset: Dataset, loaded: LoadedModel) -> list[str]:
    """What the data brings along and this kind of model has no use for."""
    if loaded.preprocess is not None and not loaded.preprocess.varies:
        return []
    names = [name for name in ("mask", "boxes") if getattr(dataset, name) is not None]
    return [f"the column '{name}' is not used: shares inside it need one grid for all pictures" for name in names]


def _sized(spec: RunSpec, store: Store, run: str, loaded: LoadedModel, grid: list[int] | None) -> RunSpec:
    """Fill in part size (that of a run which is resumed), batch size and workers."""
    try:
        part_size = store.record(run).spec.get("part_size", spec.part_size)
    except UnknownRun:
        part_size = spec.part_size
    tokens = grid[0] * grid[1] + 1 if grid else _tokens(loaded)
    depth = max(loaded.layers.values())
    device = chosen_device(spec.device)
    batch = spec.batch_size or batch_for_shared_memory(
        default_batch_size(loaded.model, tokens=tokens, depth=depth, device=device), batch_bytes(1, _largest(loaded))
    )
    batch = min(batch, part_size)
    workers = spec.workers
    if workers is None:
        workers = workers_for_shared_memory(default_workers(device), batch_bytes(batch, _largest(loaded)))
    return replace(spec, part_size=part_size, batch_size=batch, workers=workers)


def _largest(loaded: LoadedModel) -> tuple[int, int]:
    """Height and width of the largest picture that a batch may hold, pixels: all shapes are padded to it."""
    if loaded.preprocess is None:
        return 1, 1
    longest = max(loaded.preprocess.edge)
    return (longest, longest) if loaded.preprocess.varies else loaded.preprocess.size


def _tokens(loaded: LoadedModel) -> int:
    """Tokens of a sample without a grid, roughly, for the size of a batch: regions and words, or words."""
    words = loaded.tokenizer.context if loaded.tokenizer else 0
    return max(words + (REGIONS if loaded.reads_regions else 0), 32)


def _check_decode(spec: RunSpec, loaded: LoadedModel) -> None:
    preprocess = None if loaded.reads_regions else loaded.preprocess
    if spec.decode != "exact" and (preprocess is None or enough_for(preprocess) is None):
        raise JobError(
            f"--decode fast is for models that shrink all pictures to one size: leave it out for {spec.model}"
        )


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
        **({"origins": list(dataset.origins)} if dataset.origins else {}),
        **({"allowed": list(dataset.allowed)} if dataset.allowed else {}),
        "links": dataset.links,
    }


def _versions() -> dict[str, str]:
    found = {"python": python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # an optional library
            continue
    return found
