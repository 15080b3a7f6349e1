"""From the store to `engine.suspects.Observations`: predictions, maps, patches, properties and words of a run."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from engine.suspects import NONE, Observations, Property, relevancy_shares, word_entries
from engine.suspects.concept import PATCHES
from jobs.errors import JobError
from jobs.suspects.text import words_of
from storage import RunReader, StoreError
from storage.queries.catalog import run_sample_columns

MEASURED = ("brightness", "contrast", "saturation", "warmth", "greenness", "sharpness")
# Of the picture's file: can be seen, not be changed.
GIVEN = ("width", "height", "file_format", "file_bytes", "camera", "software")
TARGETS = ("predicted", "answer", "label")
ALIAS = 0.98  # a column whose values each belong to one label (a synset, a sub-class) says nothing new


@dataclass(frozen=True)
class Gathered:
    """A run as arrays. `ids`, `uris`, `labels` [N] belong to the rows of `seen`; `labels` is -1 where unknown."""

    seen: Observations
    ids: np.ndarray
    uris: list[str]
    labels: np.ndarray
    class_names: list[str]
    target: str
    modality: str
    total: int
    tokens: np.ndarray | None = None  # int64 [N, T] cell of each patch, -1 for none
    notes: list[str] = field(default_factory=list)


def gather(reader: RunReader, *, sample: int, seed: int) -> Gathered:
    """Read a run. At most `sample` samples, chosen at random and noted. `JobError` for a run without predictions."""
    target, modality = _what(reader)
    table = _samples(reader, target, modality)
    if not len(table):
        raise JobError(f"run {reader.run.run_id!r} has no explained samples yet; run `python -m jobs run` first")
    total, notes = len(table), []
    if total > sample:
        chosen = np.sort(np.random.default_rng(seed).choice(total, sample, replace=False))
        table = table.take(pa.array(chosen))
        notes.append(f"searched in {sample:,} of {total:,} samples, chosen at random (--sample)")
    ids = table["sample_id"].to_numpy()
    predicted, labels = _numbers(table["predicted_index"]), _numbers(table["label_index"])
    names = _class_names(reader, table, predicted, labels)
    properties = _properties(reader, table, labels, notes)
    images, tokens = image_parts(reader, ids, target, notes) if modality == "image" else ({}, None)
    words = _words(reader, ids, target, notes)
    seen = Observations(predicted, len(names), properties=properties, words=words, **images)
    return Gathered(seen, ids, table["uri"].to_pylist(), labels, names, target, modality, total, tokens, notes)


def _what(reader: RunReader) -> tuple[str, str]:
    """The target and modality whose predictions are looked at."""
    objects = "0" if "query" in reader.record.taken else "count(query)"
    found = reader.query(
        f"SELECT target, modality, count(predicted_index) AS n, {objects} AS objects FROM explanations GROUP BY ALL"
    )
    if any(row["objects"] for row in found):
        raise JobError(
            f"run {reader.run.run_id!r} explains detections: suspects are found for predicted classes so far"
        )
    known = {(row["target"], row["modality"]) for row in found if row["n"]}
    targets = [*TARGETS, *sorted({target for target, _ in known} - set(TARGETS))]
    for target in targets:
        for modality in ("image", "text"):
            if (target, modality) in known:
                return target, modality
    if found:
        raise JobError(
            f"run {reader.run.run_id!r} explains image-text scores, not predicted classes: "
            "no class for a cue to go with"
        )
    raise JobError(f"run {reader.run.run_id!r} has no explained samples yet; run `python -m jobs run` first")


def _samples(reader: RunReader, target: str, modality: str) -> pa.Table:
    present = {column.name for column in run_sample_columns(reader)}
    columns = [name for name in (*MEASURED, *GIVEN) if name in present]
    # An earlier run may have metadata under a name that the store has since taken: there it means the metadata.
    columns = list(dict.fromkeys([*columns, *(entry["column"] for entry in reader.record.metadata)]))
    extra = "".join(f', s."{name}"' for name in columns)
    return reader.table(
        "SELECT e.sample_id, s.uri, s.label_index, s.label, e.predicted_index, e.predicted" + extra + " "
        "FROM explanations e JOIN samples s USING (sample_id) "
        "WHERE e.target = ? AND e.modality = ? ORDER BY e.sample_id",
        [target, modality],
    )


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return column.fill_null(NONE).to_numpy().astype(np.int64)


def _class_names(reader: RunReader, table: pa.Table, predicted: np.ndarray, labels: np.ndarray) -> list[str]:
    """Names of all classes; those the model has no name for are called by their number."""
    count = int(max(predicted.max(initial=0), labels.max(initial=0))) + 1
    given = reader.record.model.get("class_names") or []
    names = [str(name) for name in given] + [str(k) for k in range(len(given), count)]
    for number, name in zip(predicted.tolist(), table["predicted"].to_pylist(), strict=True):
        if number >= len(given) and name is not None:
            names[number] = name
    return names


# -- pictures -----------------------------------------------------------------------------------------


def image_parts(
    reader: RunReader, ids: np.ndarray, target: str, notes: list[str]
) -> tuple[dict[str, Any], np.ndarray | None]:
    """Maps and patches, as the fields of `Observations` that they fill; and the patches' cells [N, T]."""
    parts: dict[str, Any] = {}
    grid = reader.record.model.get("grid")
    if grid and grid[0] * grid[1] in reader.map_widths("image"):
        maps, known = _maps(reader, ids, target, int(grid[0] * grid[1]))
        parts |= {"shares": relevancy_shares(maps), "grid": (int(grid[0]), int(grid[1]))}
        if not known.all():
            notes.append(f"{int((~known).sum()):,} samples have no map")
    patches = _patches(reader, ids, target)
    if patches is None:
        notes.append("the run stored no patches (--patches 0, or an older version): `concept` finds nothing")
        return parts, None
    states, rest, tokens = patches
    missing = int((~rest.any(axis=1)).sum())
    if missing:
        notes.append(f"{missing:,} samples have no patches")
    shares = np.zeros(tokens.shape, np.float32)
    if "shares" in parts:
        inside = (tokens >= 0) & (tokens < parts["shares"].shape[1])
        shares = np.where(inside, np.take_along_axis(parts["shares"], np.where(inside, tokens, 0), axis=1), 0)
    else:
        shares = np.where(tokens >= 0, 1.0 / tokens.shape[1], 0).astype(np.float32)
    return {**parts, "patches": states, "patch_shares": shares.astype(np.float32), "rest": rest}, tokens


def _maps(reader: RunReader, ids: np.ndarray, target: str, width: int) -> tuple[np.ndarray, np.ndarray]:
    table = reader.table(
        f"SELECT sample_id, vec FROM map_image_{width} WHERE target = ? AND {_among(reader, ids)}", [target]
    )
    maps, known = np.zeros((len(ids), width), np.float32), np.zeros(len(ids), bool)
    rows, here = places(ids, table["sample_id"].to_numpy())
    maps[rows] = vectors_of(table["vec"], width)[here]
    known[rows] = True
    return maps, known


def _patches(reader: RunReader, ids: np.ndarray, target: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """States [N, T, D], rest [N, D] and tokens [N, T] (-1 for none) of the strongest patches; None without any."""
    widths = reader.patch_widths
    if not widths:
        return None
    width = max(widths)
    states, rest = np.zeros((len(ids), PATCHES, width), np.float32), np.zeros((len(ids), width), np.float32)
    tokens = np.full((len(ids), PATCHES), -1, np.int64)
    among = _among(reader, ids)
    for slot in range(-1, PATCHES):  # one slot at a time: never two copies of everything in memory
        table = reader.table(
            f"SELECT sample_id, token, vec FROM patches_{width} WHERE target = ? AND slot = ? AND {among}",
            [target, slot],
        )
        rows, here = places(ids, table["sample_id"].to_numpy())
        vectors = vectors_of(table["vec"], width)[here]
        if slot < 0:
            rest[rows] = vectors
        else:
            states[rows, slot] = vectors
            tokens[rows, slot] = _numbers(table["token"])[here]
    return states, rest, tokens


def _among(reader: RunReader, ids: np.ndarray) -> str:
    """Condition on the samples that are looked at: what is read must not grow with those that are not."""
    return f"sample_id IN (FROM {reader.sets.table(reader.sets.keep(ids))})"


def places(ids: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows in `ids` (ascending) of the samples that were found, and where they stand in what was found."""
    place = np.searchsorted(ids, found).clip(max=len(ids) - 1)
    here = np.flatnonzero(ids[place] == found)
    return place[here], here


def vectors_of(column: pa.ChunkedArray, width: int) -> np.ndarray:
    """A column of lists of `width` numbers as an array [n, width]."""
    flat = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    joined = np.concatenate(flat) if flat else np.zeros(0, np.float32)
    return joined.reshape(-1, width)


# -- everything else ----------------------------------------------------------------------------------


def _properties(reader: RunReader, table: pa.Table, labels: np.ndarray, notes: list[str]) -> dict[str, Property]:
    """Measured properties and metadata, as far as they can say anything."""
    metadata = {entry["column"] for entry in reader.record.metadata}
    found = properties_of(table.select(table.column_names[6:]), metadata)
    for name in [name for name, one in found.items() if name not in GIVEN and _is_alias(one, labels)]:
        notes.append(f"column '{name}' is another word for the label: not looked at")
        del found[name]
    return found


def properties_of(table: pa.Table, metadata: Collection[str] = ()) -> dict[str, Property]:
    """The columns of a table as properties, without those that are the same everywhere, and the pictures' aspect.

    Columns of `metadata` are not measured, whatever their names.
    """
    found: dict[str, Property] = {}
    for name in table.column_names:
        one = _property(table[name], name in MEASURED and name not in metadata)
        if one is not None:
            found[name] = one
    if "width" in found and "height" in found:
        with np.errstate(divide="ignore", invalid="ignore"):
            found["aspect"] = Property(found["width"].values / found["height"].values)
    return found


def _property(column: pa.ChunkedArray, measured: bool) -> Property | None:
    """A column as numbers or as categories; None where it is empty or the same everywhere."""
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        known = values[np.isfinite(values)]
        return Property(values, measured=measured) if len(known) and known.min() < known.max() else None
    coded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    names = tuple(str(name) for name in coded.dictionary.to_pylist())
    if len(names) < 2:
        return None
    return Property(coded.indices.fill_null(NONE).to_numpy(zero_copy_only=False).astype(np.int64), names)


def _is_alias(one: Property, labels: np.ndarray) -> bool:
    """Whether each category belongs to one label: a finer or another name of the class, no cue."""
    if one.names is None:
        return False
    both = (one.values != NONE) & (labels != NONE)
    if not both.any():
        return False
    counts = np.zeros((len(one.names), labels.max() + 1))
    np.add.at(counts, (one.values[both], labels[both]), 1)
    return bool(counts.max(axis=1).sum() >= ALIAS * counts.sum())


def _words(reader: RunReader, ids: np.ndarray, target: str, notes: list[str]) -> Any:
    """Words of the texts with their relevancies; None without texts."""
    widths = reader.map_widths("text")
    if not widths:
        return None
    texts: list[list[tuple[str, float]]] = [[] for _ in ids]
    try:
        for width in widths:
            table = reader.table(
                f"SELECT m.sample_id, s.tokens, s.text, m.n_valid, m.vec FROM map_text_{width} m "
                "JOIN samples s USING (sample_id) WHERE m.target = ? AND s.tokens IS NOT NULL "
                f"AND {_among(reader, ids)}",
                [target],
            )
            rows, here = places(ids, table["sample_id"].to_numpy())
            vectors, valid = vectors_of(table["vec"], width), table["n_valid"].to_numpy()
            tokens, given = table["tokens"].to_pylist(), table["text"].to_pylist()
            for row, k in zip(rows.tolist(), here.tolist(), strict=True):
                texts[row] = words_of(tokens[k], vectors[k, : valid[k]], given[k] or "")
    except StoreError as error:
        notes.append(f"words could not be read: {error}")
        return None
    return word_entries(texts)
