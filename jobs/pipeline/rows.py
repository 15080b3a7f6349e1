"""From explained chunks to the table of a part: one row per sample, target and modality."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.summaries import image_summaries, region_summaries, text_summaries, top_tokens, top_words
from jobs.labels import NONE, Labels
from jobs.pipeline.results import Chunk, Result
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
        if (np.diff(ids) < 0).any():  # else, with one row per sample, they are in order
            order = np.argsort(ids, kind="stable")  # targets and modalities stay in the order they were asked for
            ids, table = ids[order], table.take(pa.array(order))
        return table.append_column("sample_first", pa.array(np.diff(ids, prepend=-1) != 0))

    def _tables(self, chunk: Chunk) -> Iterable[pa.Table]:
        sample = self._sample_columns(chunk)
        for result in chunk.results:
            shared = {**sample, **self._prediction_columns(chunk, result)}
            for modality in result.relevancy:
                columns = shared | _relevancy_columns(chunk, result, modality) | _pair_columns(result, modality)
                if modality == "text" and result.words is not None:
                    found = top_words(result.relevancy["text"], result.words, self._texts(pa.array(chunk.ids)))
                    columns["top_tokens"] = pa.array(found, pa.list_(pa.string()))
                table = pa.table(columns)
                yield table if result.keep.all() else table.filter(pa.array(result.keep))

    def _sample_columns(self, chunk: Chunk) -> Columns:
        """Columns of the samples themselves, one row per sample of the chunk."""
        ids = pa.array(chunk.ids)
        columns = {
            "sample_id": ids,
            "uri": self.dataset.uris.take(ids),
            "label_index": _class_numbers(chunk.labels),
            "width": _known(chunk.sizes[:, 0]),
            "height": _known(chunk.sizes[:, 1]),
            **_places(chunk),
            **({} if chunk.facts is None else chunk.facts.columns()),
        }
        for i, name in enumerate(("view_x0", "view_y0", "view_x1", "view_y1")):
            columns[name] = pa.array(chunk.views[:, i], pa.float32(), from_pandas=True)
        if self.dataset.label is not None:
            columns["label"] = self._label_names(ids, chunk.labels)
        for name in ("text", "split"):
            if (column := getattr(self.dataset, name)) is not None:
                columns[name] = column.take(ids)
        tokens = next((result.tokens for result in chunk.results if result.tokens is not None), None)
        if tokens is not None:
            columns["tokens"] = pa.array(tokens, pa.list_(pa.string()))
            columns |= self._word_columns(ids, chunk, tokens)
        for entry in self.metadata:
            columns[entry["column"]] = self.dataset.metadata[entry["name"]].take(ids)
        return columns

    def _word_columns(self, ids: pa.Array, chunk: Chunk, tokens: list[list[str]]) -> Columns:
        """The words of the texts, where they stand, and which token belongs to which."""
        words = next((result.words for result in chunk.results if result.words is not None), None)
        if words is None:
            return {}
        texts, numbers = self._texts(ids), pa.list_(pa.int32())
        return {
            "words": pa.array([one.texts(text) for one, text in zip(words, texts, strict=True)], pa.list_(pa.string())),
            "word_starts": pa.array([[first for first, _ in one.spans] for one in words], numbers),
            "word_ends": pa.array([[last for _, last in one.spans] for one in words], numbers),
            "token_words": pa.array(
                [one.of_piece[: len(pieces)] for one, pieces in zip(words, tokens, strict=True)], numbers
            ),
            "text_tokens": pa.array([one.needed for one in words], pa.int32()),
            "text_cut": pa.array([one.cut for one in words]),
        }

    def _texts(self, ids: pa.Array) -> list[str]:
        assert self.dataset.text is not None  # who has tokens has a text
        return [str(text) for text in self.dataset.text.take(ids).to_pylist()]

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
        if result.zero_rows is not None:
            columns["zero_rows"] = pa.array(result.zero_rows)
        if result.is_detection:
            return columns | self._detection_columns(result)
        if result.top_indices is None or result.top_probs is None:
            return columns
        predicted = result.top_indices[:, 0]
        columns["predicted"] = self._names(predicted)
        columns["predicted_index"] = pa.array(predicted)
        columns["confidence"] = pa.array(result.top_probs[:, 0])
        columns["correct"] = pa.array(predicted == chunk.labels, mask=chunk.labels == NONE)
        columns |= _top_classes(result)
        if result.target_index is not None:
            columns["target_index"] = _class_numbers(result.target_index)
        return columns

    def _detection_columns(self, result: Result) -> Columns:
        """Class, confidence, query and box of one detection of each sample."""
        assert result.target_index is not None and result.query_box is not None
        return {
            "predicted": self._names(result.target_index),
            "predicted_index": pa.array(result.target_index),
            "target_index": pa.array(result.target_index),
            "confidence": pa.array(result.confidence),
            "query": pa.array(result.query),
            "box": _lists(result.query_box, pa.float32()),
            **_top_classes(result),
        }


def _pair_columns(result: Result, modality: str) -> Columns:
    """Percentile, unit vector and falls of the score of image-text pairs; the word of a target 'word-K'."""
    pairs = result.pairs
    if pairs is None:
        return {}
    columns: Columns = {}
    if pairs.percentile is not None:
        columns["clip_percentile"] = pa.array(pairs.percentile)
    if pairs.word is not None:
        columns["word"] = pa.array(pairs.word, pa.string())
    if modality in pairs.vectors:
        columns["embedding"] = _lists(pairs.vectors[modality], pa.float32())
    for name, values in pairs.drops.items():
        if name.startswith("drop_word") == (modality == "text"):
            columns[name] = pa.array(values, pa.float32(), from_pandas=True)
    if modality == "text" and pairs.dropped is not None:
        columns["dropped_word"] = pa.array(pairs.dropped, pa.string())
    return columns


def _top_classes(result: Result) -> Columns:
    if result.top_indices is None or result.top_probs is None:
        return {}
    return {
        "top_indices": _lists(result.top_indices, pa.int32()),
        "top_probs": _lists(result.top_probs, pa.float32()),
    }


def _places(chunk: Chunk) -> Columns:
    """What the values of the image maps belong to: a grid, or regions."""
    if chunk.regions is not None and chunk.region_mask is not None:
        boxes = [row[mask].reshape(-1) for row, mask in zip(chunk.regions, chunk.region_mask, strict=True)]
        return {"regions": pa.array(boxes, _floats())}
    grid = next((result.grid for result in chunk.results if result.grid is not None), None)
    if grid is None:
        return {}
    grids = np.tile(np.array(grid, np.int32), (len(chunk.ids), 1)) if chunk.grids is None else chunk.grids
    return {"grid_h": pa.array(grids[:, 0]), "grid_w": pa.array(grids[:, 1])}


def _relevancy_columns(chunk: Chunk, result: Result, modality: str) -> dict[str, Any]:
    """Map, features and summaries of one modality."""
    maps = result.relevancy[modality]
    columns: dict[str, Any] = {"modality": pa.array([modality] * len(maps))}
    if modality == "text" and result.tokens is not None:
        columns["map"] = pa.array([row[: len(t)] for row, t in zip(maps, result.tokens, strict=True)], _floats())
        columns["top_tokens"] = pa.array(top_tokens(maps, result.tokens), pa.list_(pa.string()))
        summaries = text_summaries(maps, result.tokens)
    elif modality == "text":
        columns["map"] = _lists(maps, pa.float32())
        summaries = {}
    elif result.grid is None or chunk.grids is not None:
        cut = [_own_map(chunk, result, row) for row in range(len(maps))]
        columns["map"] = pa.array([values for values, _ in cut], _floats())
        summaries = {name: np.array([found[name] for _, found in cut]) for name in cut[0][1]} if cut else {}
    else:
        columns["map"] = _lists(maps, pa.float32())
        summaries = image_summaries(maps, result.grid, masks=chunk.masks, boxes=chunk.boxes)
    if modality in result.features:
        columns["features"] = _lists(result.features[modality], pa.float32())
    if modality == "image" and result.patch_tokens is not None:
        columns |= _patch_columns(chunk, result)
    # NaN, nothing to measure, becomes null
    return columns | {name: pa.array(values, pa.float32(), from_pandas=True) for name, values in summaries.items()}


def _patch_columns(chunk: Chunk, result: Result) -> Columns:
    """Tokens of the patches, as positions in the stored map, and their states with that of the rest at the end."""
    assert result.patch_tokens is not None and result.patch_states is not None
    tokens, states = [], []
    for row, (found, values) in enumerate(zip(result.patch_tokens, result.patch_states, strict=True)):
        valid = found >= 0
        kept = np.append(valid, valid.any())  # without any patch there is no rest either
        tokens.append(_own_places(chunk, result, row)[found[valid]])
        states.append(values[kept].reshape(-1))
    return {"patch_tokens": pa.array(tokens, pa.list_(pa.int32())), "patch_states": pa.array(states, _floats())}


def _own_places(chunk: Chunk, result: Result, row: int) -> np.ndarray:
    """Where each value of a sample's map stands once the padding of its batch is cut off, as in `_own_map`."""
    size = result.relevancy["image"].shape[1]
    if result.grid is None:
        assert chunk.region_mask is not None
        return np.cumsum(chunk.region_mask[row]) - 1
    if chunk.grids is None:
        return np.arange(size)
    y, x = np.divmod(np.arange(size), result.grid[1])
    return y * chunk.grids[row, 1] + x


def _own_map(chunk: Chunk, result: Result, row: int) -> tuple[np.ndarray, dict[str, float]]:
    """The values of one sample without the padding of its batch, and their summaries."""
    values = result.relevancy["image"][row]
    if result.grid is None:
        assert chunk.regions is not None and chunk.region_mask is not None  # what has no grid has regions
        mask = chunk.region_mask[row]
        return values[mask], _single(region_summaries(values[mask][None], chunk.regions[row][mask][None]))
    assert chunk.grids is not None
    height, width = chunk.grids[row].tolist()
    own = values.reshape(result.grid)[:height, :width].reshape(1, -1)
    return own[0], _single(image_summaries(own, (height, width)))


def _single(summaries: dict[str, Any]) -> dict[str, float]:
    return {name: float(values[0]) for name, values in summaries.items()}


def _known(sizes: np.ndarray) -> pa.Array:
    """Pixels, null for 0: there is no picture."""
    return pa.array(sizes, mask=sizes == 0)


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
