"""The samples and the model that are evaluated: chunks of inputs, explanations, answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from engine import Explanation, LoadedModel, explain_pairs, explain_targets
from engine.models.pairs import PairAdapter
from engine.pairs import is_whole
from engine.targets import Labels
from jobs.errors import JobError
from jobs.evaluate.spec import EvaluateSpec
from jobs.evaluate.variants import Variant
from jobs.labels import resolve_labels
from jobs.needs import Needs, unusable
from jobs.origin import find_dataset, find_model
from jobs.pipeline.collate import Inputs, collated
from jobs.pipeline.loading import Loading
from jobs.pipeline.plan import Task
from jobs.readers import Dataset
from jobs.targets import Target, parse_target
from storage import RunReader

ANSWERS = "answers"
"""Metadata column: JSON of answer -> soft accuracy (VQA v2)."""


@dataclass(frozen=True)
class Chunk:
    """B samples as the engine takes them.

    Attributes:
        ids: their sample ids, [B].
        inputs: tensors; texts stand in `texts`.
        texts: B texts, None for models that read none.
        labels: class numbers, int64 [B], -1 for none.
        sizes: width and height of the pictures, [B, 2].
        views: the part of each picture that the grid covers, fractions (x0, y0, x1, y1), [B, 4].
    """

    ids: np.ndarray
    inputs: Inputs
    texts: list[str] | None
    labels: np.ndarray
    sizes: np.ndarray
    views: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def given(self) -> dict[str, Any]:
        """All that the engine is given."""
        return dict(self.inputs) | ({} if self.texts is None else {"text": self.texts})


@dataclass
class Subject:
    """A run's dataset and model.

    `skipped` counts samples that could not be read, by reason. `classes` are the classes to explain by sample id, where
    they are not to follow from the run's target.
    """

    dataset: Dataset
    loaded: LoadedModel
    target: Target
    labels: np.ndarray
    start_layer: int
    text_start_layer: int | None
    loading: Loading
    threshold: float
    most: int
    skipped: Counter[str] = field(default_factory=Counter)
    classes: dict[int, int] | None = None

    @classmethod
    def of(cls, reader: RunReader, spec: EvaluateSpec) -> Subject:
        """Find data and model of a run again. `JobError` when they are gone or are not the same any more."""
        record = reader.record
        dataset = find_dataset(record, spec.whereabouts)
        loaded = find_model(record, spec.whereabouts)
        known = loaded.task in ("classify", "answer")
        labels = resolve_labels(
            dataset.label if known else None, len(dataset), loaded.class_names, loaded.num_classes if known else None
        )
        text = str(record.spec.get("target") or "")
        targets = parse_target(
            text or None, model=loaded.name, task=loaded.task, names=labels.names, classes=loaded.num_classes
        )
        needs = Needs(loaded.name, loaded.task, loaded.modalities, loaded.reads_regions)
        width = loaded.region_width if loaded.reads_regions else None
        return cls(
            dataset,
            loaded,
            targets[0],
            labels.index.astype(np.int64),
            int(record.spec.get("start_layer") or 0),
            record.spec.get("text_start_layer"),
            Loading(dataset, loaded.preprocess, None, unusable(dataset, needs), width),
            float(record.spec.get("threshold") or 0.7),
            int(record.spec.get("max_detections") or 20),
        )

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.loaded.model.parameters()).device

    def chunks(self, ids: np.ndarray, size: int) -> Iterator[Chunk]:
        """The samples `ids` that can still be read, `size` at a time; of detectors one at a time, as sizes differ."""
        size = 1 if self.loaded.task == "detect" else size
        for start in range(0, len(ids), size):
            chunk = self._chunk(ids[start : start + size])
            if chunk is not None:
                yield chunk

    def _chunk(self, ids: np.ndarray) -> Chunk | None:
        good, tensors, sizes, views = [], [], [], []
        for sample in ids.tolist():
            batch = self.loading[Task(0, sample, sample + 1, True)]
            self.skipped.update(reason for _, reason in batch.failures)
            if len(batch.ids):
                good.append(sample)
                tensors.append({name: values[0] for name, values in batch.inputs.items() if name != "region_mask"})
                sizes.append(batch.sizes[0])
                views.append(batch.views[0])
        if not good:
            return None
        rows = np.array(good)
        texts = None
        if "text" in self.loaded.modalities:
            assert self.dataset.text is not None  # jobs.needs has seen to it
            texts = [str(text) for text in self.dataset.text.take(pa.array(rows)).to_pylist()]
        return Chunk(rows, collated(tensors), texts, self.labels[rows], np.array(sizes), np.array(views))

    def explain(self, chunk: Chunk, variant: Variant) -> Explanation:
        """Explain the run's target for a chunk."""
        if isinstance(self.loaded.adapter, PairAdapter) and not is_whole(variant.method):
            return explain_pairs(
                self.loaded,
                chunk.inputs["image"],
                chunk.texts or [],
                target="clip-logit" if self.target.name == "clip-logit" else "clip-score",
                method=variant.method,
                start_layer=variant.start_layer,
                text_start_layer=self.text_start_layer,
            ).explanation
        return explain_targets(
            self.loaded,
            chunk.given,
            [self._target(chunk)],
            method=variant.method,
            start_layer=variant.start_layer,
            features=False,
        )[0]

    def _target(self, chunk: Chunk) -> Any:
        """What the engine is asked to explain: the fixed classes, or the run's target."""
        if self.classes is not None:
            return Labels(torch.tensor([self.classes[int(sample)] for sample in chunk.ids]))
        return self.target.for_engine(torch.from_numpy(chunk.labels).clamp(min=0))

    @torch.no_grad()
    def logits(self, inputs: dict[str, Any]) -> Tensor:
        """What the model answers to inputs as the engine takes them: class logits [B, C]."""
        adapter, model = self.loaded.adapter, self.loaded.model
        with self.loaded.autocast():
            return adapter.forward(model, adapter.prepare(model, inputs, self.loaded.tokenizer)).logits.float()

    def soft_answers(self, ids: np.ndarray) -> list[dict[int, float] | None]:
        """Of each sample the soft accuracy of every answer that people gave, by answer number; None without."""
        column = self.dataset.metadata.get(ANSWERS)
        if column is None:
            return [None] * len(ids)
        numbers = {name: k for k, name in enumerate(self.loaded.class_names or [])}
        found = []
        for text in column.take(pa.array(ids)).to_pylist():
            try:
                given = None if text is None else json.loads(text)
            except ValueError as error:
                raise JobError(f"column '{ANSWERS}' holds {text!r}, which is no JSON of answer: accuracy") from error
            found.append(None if given is None else {numbers[a]: float(v) for a, v in given.items() if a in numbers})
        return found


def sample_ids(reader: RunReader, count: int, seed: int) -> np.ndarray:
    """At most `count` of the samples that a run explained, at random but sorted, int64."""
    rows = reader.query("SELECT DISTINCT sample_id FROM explanations ORDER BY sample_id")
    ids = np.array([row["sample_id"] for row in rows], np.int64)
    if not len(ids):
        raise JobError(f"run {reader.record.run_id!r} has no explained sample yet")
    if len(ids) > count:
        ids = np.sort(np.random.default_rng(seed).choice(ids, count, replace=False))
    return ids
