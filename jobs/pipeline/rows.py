"""From explained chunks to the table of a part: one row per sample, target and modality."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.summaries import image_summaries, text_summaries, top_tokens
from jobs.labels import NONE, Labels
from jobs.pipeline.explaining import Chunk, Result
from jobs.readers import Dataset
from storage import part_schema

Columns = dict[str, pa.Array]


@dataclass(frozen=True)
class Rows:
    """Makes part tables for one dataset and model. `metadata` is the store's list of {name, column, type}."""

    dataset: Dataset
    labels: Labels
    metadata: list[dict[str, Any]]

    def table(self, chunks: Iterable[Chunk]) -> pa.Table:
        """The rows of all `chunks`, sorted by sample id."""
        tables = [table for chunk in chunks for table in self._tables(chunk)]
        if not tables:
            return part_schema(self.metadata).empty_table()
        table = pa.concat_tables(tables, promote_options="default")
        ids = table["sample_id"].to_numpy()
        order = np.argsort(ids, kind="stable")  # stable: targets and modalities stay in the order they were asked for
        first = np.diff(ids[order], prepend=-1) != 0
        return table.take(pa.array(order)).append_column("sample_first", pa.array(first))

    def _tables(self, chunk: Chunk) -> Iterable[pa.Table]:
        sample = self._sample_columns(chunk)
        for result in chunk.results:
            shared = {**sample, **self._prediction_columns(chunk, result)}
            for modality in result.relevancy:
                columns = shared | _relevancy_columns(chunk, result, modality)
                table = pa.table(columns)
                yield table if result.keep.all() else table.filter(pa.array(result.keep))

    def _sample_columns(self, chunk: Chunk) -> Columns:
        """Columns of the samples themselves, one row per sample of the chunk."""
        ids = pa.array(chunk.ids)
        columns = {
            "sample_id": ids,
            "uri": self.dataset.uris.take(ids),
            "label_index": _class_numbers(chunk.labels),
            "width": pa.array(chunk.sizes[:, 0]),
            "height": pa.array(chunk.sizes[:, 1]),
        }
        for i, name in enumerate(("view_x0", "view_y0", "view_x1", "view_y1")):
            columns[name] = pa.array(chunk.views[:, i])
        if self.dataset.label is not None:
            columns["label"] = self._label_names(ids, chunk.labels)
        for name in ("text", "split"):
            if (column := getattr(self.dataset, name)) is not None:
                columns[name] = column.take(ids)
        tokens = next((result.tokens for result in chunk.results if result.tokens is not None), None)
        if tokens is not None:
            columns["tokens"] = pa.array(tokens, pa.list_(pa.string()))
        for entry in self.metadata:
            columns[entry["column"]] = self.dataset.metadata[entry["name"]].take(ids)
        return columns

    def _label_names(self, ids: pa.Array, labels: np.ndarray) -> pa.Array:
        """The model's name of each label, so that labels and predictions compare; else the label as it is."""
        own = self.dataset.label.take(ids)  # type: ignore[union-attr]
        return own if self.labels.names is None else pc.coalesce(self._names(labels), own)

    def _names(self, classes: np.ndarray) -> pa.Array:
        """Class names, or the numbers as text where the model has no names; null for -1."""
        numbers = _class_numbers(classes)
        return numbers.cast(pa.string()) if self.labels.names is None else pa.array(self.labels.names).take(numbers)

    def _prediction_columns(self, chunk: Chunk, result: Result) -> Columns:
        rows = len(chunk.ids)
        columns = {"target": pa.array([result.target.name] * rows), "score": pa.array(result.score)}
        if result.top_indices is None or result.top_probs is None:
            return columns
        predicted = result.top_indices[:, 0]
        columns["predicted"] = self._names(predicted)
        columns["predicted_index"] = pa.array(predicted)
        columns["confidence"] = pa.array(result.top_probs[:, 0])
        columns["correct"] = pa.array(predicted == chunk.labels, mask=chunk.labels == NONE)
        columns["top_indices"] = _lists(result.top_indices, pa.int32())
        columns["top_probs"] = _lists(result.top_probs, pa.float32())
        if result.target_index is not None:
            columns["target_index"] = _class_numbers(result.target_index)
        return columns


def _relevancy_columns(chunk: Chunk, result: Result, modality: str) -> dict[str, Any]:
    """Map, features and summaries of one modality."""
    maps = result.relevancy[modality]
    columns: dict[str, Any] = {"modality": pa.array([modality] * len(maps))}
    if modality == "text" and result.tokens is not None:
        columns["map"] = pa.array([row[: len(t)] for row, t in zip(maps, result.tokens, strict=True)], _floats())
        columns["top_tokens"] = pa.array(top_tokens(maps, result.tokens), pa.list_(pa.string()))
        summaries = text_summaries(maps, result.tokens)
    else:
        assert result.grid is not None  # every image tower has one
        columns["map"] = _lists(maps, pa.float32())
        summaries = image_summaries(maps, result.grid, masks=chunk.masks, boxes=chunk.boxes)
    if modality in result.features:
        columns["features"] = _lists(result.features[modality], pa.float32())
    # NaN, nothing to measure, becomes null
    return columns | {name: pa.array(values, pa.float32(), from_pandas=True) for name, values in summaries.items()}


def _class_numbers(classes: np.ndarray) -> pa.Array:
    """int32 with null for "no class"."""
    return pa.array(classes.astype(np.int32), mask=classes == NONE)


def _floats() -> pa.DataType:
    return pa.list_(pa.float32())


def _lists(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    """A matrix [B, n] as a column of B lists."""
    rows, width = values.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * width
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(values).reshape(-1), kind))
