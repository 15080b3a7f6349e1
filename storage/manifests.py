"""The manifests of a run: which parts and segments there are, without opening any of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from storage.atomic import write_json
from storage.checksums import is_intact
from storage.errors import UPGRADE, StoreError, StoreTooNew
from storage.layout import RunLayout
from storage.schema import SCHEMA_VERSION, is_version
from storage.wellformed import check_part, check_segment

STAGES = ("read", "compute", "write")


@dataclass(frozen=True)
class Contents:
    """What a part or a segment holds. Widths are those of the map, feature, patch and embedding tables it fills."""

    rows: int = 0
    samples: int = 0
    failed: int = 0
    min_id: int | None = None
    max_id: int | None = None
    image_widths: tuple[int, ...] = ()
    text_widths: tuple[int, ...] = ()
    feature_widths: tuple[int, ...] = ()
    varied_widths: tuple[int, ...] = ()
    patch_widths: tuple[int, ...] = ()
    embedding_widths: tuple[int, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PartManifest:
    """`parts/00012.json`: its existence means that part 12 is committed."""

    part: int
    contents: Contents
    bytes: int
    checksum: str
    committed_at: str
    failures: tuple[dict[str, Any], ...] = ()
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class SegmentManifest:
    """`segments/0000.json`: its existence means that the segment is sealed and replaces its parts."""

    segment: int
    contents: Contents
    bytes: int
    parts: tuple[int, ...]
    sealed_at: str
    schema_version: int = SCHEMA_VERSION


Manifest = TypeVar("Manifest", PartManifest, SegmentManifest)


@dataclass(frozen=True)
class Snapshot:
    """The state of a run at one moment: sealed segments and committed parts that are not sealed yet."""

    segments: tuple[SegmentManifest, ...]
    tail: tuple[PartManifest, ...]
    redo: dict[int, str]
    lost_segments: tuple[int, ...]
    version: str

    @property
    def sealed(self) -> set[int]:
        """Parts that lie in a segment."""
        return {part for segment in self.segments for part in segment.parts}

    @property
    def committed(self) -> set[int]:
        """Parts that need no more work."""
        return self.sealed | {part.part for part in self.tail}

    @property
    def contents(self) -> Contents:
        """Everything the run holds, summed up."""
        return total([*(s.contents for s in self.segments), *(p.contents for p in self.tail)])


def total(many: Iterable[Contents]) -> Contents:
    """The contents of several parts or segments together."""
    entries = list(many)
    ids = [i for entry in entries for i in (entry.min_id, entry.max_id) if i is not None]
    return Contents(
        rows=sum(entry.rows for entry in entries),
        samples=sum(entry.samples for entry in entries),
        failed=sum(entry.failed for entry in entries),
        min_id=min(ids, default=None),
        max_id=max(ids, default=None),
        image_widths=_union(entry.image_widths for entry in entries),
        text_widths=_union(entry.text_widths for entry in entries),
        feature_widths=_union(entry.feature_widths for entry in entries),
        varied_widths=_union(entry.varied_widths for entry in entries),
        patch_widths=_union(entry.patch_widths for entry in entries),
        embedding_widths=_union(entry.embedding_widths for entry in entries),
        seconds={stage: sum(entry.seconds.get(stage, 0.0) for entry in entries) for stage in STAGES},
    )


def _union(widths: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sorted({width for some in widths for width in some}))


def write_manifest(path: Path, manifest: PartManifest | SegmentManifest) -> None:
    """Publish a part or a segment."""
    write_json(path, asdict(manifest))


def take_snapshot(run: RunLayout, *, verified: bool = False) -> Snapshot:
    """Look at the disk. Parts are listed before segments, so a part sealed meanwhile is never missed.

    With `verified`, a part whose checksum is wrong is to be made again, like one that is cut: who reads or seals parts
    has to know, as Parquet itself gives wrong numbers without a word. Each part is read for it, once per process.
    """
    indices = _numbers(_listing(run.parts))
    segments, lost = _segments(run)
    sealed = {part for segment in segments for part in segment.parts}
    tail, redo = [], {}
    for index in sorted(set(indices) - sealed):
        part, reason = _part(run, index, verified)
        if part is not None:
            tail.append(part)
        else:
            redo[index] = reason
    key = [(s.segment, s.bytes, s.sealed_at) for s in segments], [(p.part, p.checksum) for p in tail]
    version = hashlib.blake2b(json.dumps(key).encode(), digest_size=8).hexdigest()
    return Snapshot(tuple(segments), tuple(tail), redo, tuple(lost), version)


def _listing(folder: Path) -> set[str]:
    """Names of published files (parts and segments are numbered)."""
    try:
        return {name for name in os.listdir(folder) if name.split(".")[0].isdigit() and name.count(".") == 1}
    except FileNotFoundError:
        return set()


def _numbers(names: Iterable[str]) -> list[int]:
    """The numbers of the manifests among some file names."""
    return [int(name[:-5]) for name in names if name.endswith(".json")]


def _segments(run: RunLayout) -> tuple[list[SegmentManifest], list[int]]:
    """Sealed segments in order, and the numbers of those whose DuckDB file is gone or cut."""
    found, lost = [], []
    for number in sorted(_numbers(_listing(run.segments))):
        manifest = _read(SegmentManifest, run, run.segment_manifest(number))
        if manifest is None or manifest.segment != number or _size(run.segment(number)) != manifest.bytes:
            lost.append(number)
        else:
            found.append(manifest)
    return found, lost


def _part(run: RunLayout, index: int, verified: bool) -> tuple[PartManifest | None, str]:
    """The manifest of a part whose Parquet file is whole, or None and what is wrong with it."""
    manifest = _read(PartManifest, run, run.part_manifest(index))
    if manifest is None or manifest.part != index:
        return None, "its manifest is unreadable"
    name, size = run.part(index).name, _size(run.part(index))
    if size is None:
        return None, f"{name} is missing"
    if size != manifest.bytes:
        return None, f"{name} has {size} bytes instead of {manifest.bytes}"
    try:
        if verified and not is_intact(run.part(index), manifest.checksum):
            return None, f"{name} is damaged on disk, its checksum differs"
    except OSError as error:
        return None, f"{name} cannot be read ({error.strerror})"
    return manifest, ""


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _read(kind: type[Manifest], run: RunLayout, path: Path) -> Manifest | None:
    """A manifest; None when it is gone or damaged, StoreTooNew when a newer version wrote it."""
    try:
        status = path.stat()
        content = _parsed(str(path), status.st_mtime_ns, status.st_size, status.st_ino)
        _check_version(run, content)
        return _decoded(kind, content)
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


@lru_cache(maxsize=65536)
def _parsed(path: str, modified: int, size: int, inode: int) -> dict[str, Any]:
    """The JSON of a manifest; manifests never change, so a file is parsed once per process."""
    content: dict[str, Any] = json.loads(Path(path).read_bytes())
    return content


def _decoded(kind: type[Manifest], content: dict[str, Any]) -> Manifest:
    """JSON has lists where the dataclasses have tuples."""
    contents: dict[str, Any] = {name: _tupled(value) for name, value in content["contents"].items()}
    values: dict[str, Any] = {name: _tupled(value) for name, value in content.items()}
    manifest = kind(**{**values, "contents": Contents(**contents)})
    check_part(manifest) if isinstance(manifest, PartManifest) else check_segment(manifest)
    return manifest


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _check_version(run: RunLayout, content: dict[str, Any]) -> None:
    version = content.get("schema_version", SCHEMA_VERSION)
    if not is_version(version):
        raise StoreError(f"run {run.run_id!r} has a manifest with schema {version!r}, which is no version")
    if version > SCHEMA_VERSION:
        raise StoreTooNew(
            f"run {run.run_id!r} was continued by a newer version (schema {version}); this one reads up to "
            f"{SCHEMA_VERSION}: {UPGRADE}"
        )
