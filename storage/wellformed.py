"""Whether what was read from a JSON file is what was once written there: a damaged file is told from a whole one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from storage.manifests import Contents, PartManifest, SegmentManifest

LARGEST = 2**62  # of a count or an id: SQL has 64 bits
WIDEST = 2**20  # values of a vector
COUNTS = ("rows", "samples", "failed")
IDS = ("min_id", "max_id")
WIDTHS = ("image_widths", "text_widths", "feature_widths", "varied_widths", "patch_widths", "embedding_widths")
# what reading a damaged Parquet file with JSON in it raises
UNREADABLE = (OSError, pa.ArrowException, ValueError, KeyError, TypeError, IndexError, RecursionError)
FAILURE = {"sample_id": int, "uri": str, "reason": str}


def is_count(value: object, most: int = LARGEST) -> bool:
    """Whether this is a whole number from 0 to `most`."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def is_number(value: object) -> bool:
    """Whether this is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def require(fits: bool, what: str) -> None:
    """ValueError when something does not fit."""
    if not fits:
        raise ValueError(f"{what} is not what was written")


def check_contents(contents: Contents) -> None:
    """ValueError for contents that no part or segment can have."""
    for name in COUNTS:
        require(is_count(getattr(contents, name)), name)
    for name in IDS:
        value = getattr(contents, name)
        require(value is None or is_count(value), name)
    for name in WIDTHS:
        widths = getattr(contents, name)
        require(isinstance(widths, tuple) and all(is_count(width, WIDEST) and width for width in widths), name)
    seconds = contents.seconds
    require(
        isinstance(seconds, dict) and all(isinstance(k, str) and is_number(v) for k, v in seconds.items()), "seconds"
    )


def check_part(manifest: PartManifest) -> None:
    """ValueError for a manifest that no part can have."""
    check_contents(manifest.contents)
    require(is_count(manifest.part) and is_count(manifest.bytes), "part")
    require(isinstance(manifest.checksum, str) and isinstance(manifest.committed_at, str), "checksum")
    require(isinstance(manifest.failures, tuple) and all(map(_is_failure, manifest.failures)), "failures")


def check_segment(manifest: SegmentManifest) -> None:
    """ValueError for a manifest that no segment can have."""
    check_contents(manifest.contents)
    require(is_count(manifest.segment) and is_count(manifest.bytes), "segment")
    require(isinstance(manifest.sealed_at, str), "sealed_at")
    require(isinstance(manifest.parts, tuple) and all(map(is_count, manifest.parts)), "parts")


def _is_failure(entry: object) -> bool:
    return isinstance(entry, Mapping) and all(isinstance(entry.get(name), kind) for name, kind in FAILURE.items())


def is_metadata(entries: Any, types: Mapping[str, Any]) -> bool:
    """Whether these are descriptions of metadata columns, `[{"name", "column", "type"}]`, of the given types."""
    return isinstance(entries, list) and all(
        isinstance(entry, dict)
        and all(isinstance(entry.get(key), str) for key in ("name", "column"))
        and entry.get("type") in types
        for entry in entries
    )


def object_of(text: bytes | str) -> dict[str, Any]:
    """The JSON object in `text`. Raises ValueError for anything else."""
    found = json.loads(text)
    require(isinstance(found, dict), "a JSON object")
    return dict(found)


def require_columns(table: pa.Table, schema: pa.Schema) -> None:
    """ValueError when a table lacks what must be in it, or holds it in another type."""
    for field in schema:
        place = table.schema.get_field_index(field.name)
        require(place >= 0 or field.nullable, field.name)
        require(place < 0 or table.schema.field(place).type == field.type, field.name)
    table.validate(full=True)
