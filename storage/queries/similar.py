"""The samples that a model looked at alike: nearest by the cosine of their relevancy-weighted features."""

from __future__ import annotations

from typing import Any

from storage.errors import StoreError
from storage.reader import RunReader


def similar(
    reader: RunReader, sample_id: int, target: str, modality: str = "image", limit: int = 12
) -> list[dict[str, Any]]:
    """The nearest other samples of a target and modality, `{"sample_id", "similarity"}`, most similar first.

    `similarity` is the cosine of the features (1: same direction), equal ones are ordered by sample_id. Only features
    of the same width compare. Empty when the sample has no features; features of zero length are near to nothing.
    """
    if limit < 1:
        raise StoreError(f"at least one similar sample must be asked for, not {limit}")
    key = [target, modality, int(sample_id)]
    for width in reader.snapshot.contents.feature_widths:
        found = reader.table(
            f"SELECT vec FROM features_{width} WHERE target = ? AND modality = ? AND sample_id = ? LIMIT 1", key
        )
        if len(found):
            return _nearest(reader, width, found["vec"][0].as_py(), key, limit)
    return []


def _nearest(reader: RunReader, width: int, vector: list[float], key: list[Any], limit: int) -> list[dict[str, Any]]:
    """One scan; the vector is bound, so that it is read once."""
    return reader.query(
        "SELECT sample_id, similarity FROM ("
        f"SELECT sample_id, array_cosine_similarity(vec, ?::FLOAT[{width}])::DOUBLE AS similarity "
        f"FROM features_{width} WHERE target = ? AND modality = ? AND sample_id <> ?"
        ") WHERE isfinite(similarity) ORDER BY similarity DESC, sample_id LIMIT ?",
        [vector, *key, int(limit)],
    )
