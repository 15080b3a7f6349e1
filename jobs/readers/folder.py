"""A folder of pictures: one folder per class (as torchvision's ImageFolder), or all in one flat folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from jobs.errors import JobError
from jobs.pictures import EXTENSIONS
from jobs.readers.dataset import Dataset
from jobs.readers.hub import read_parquet_files
from jobs.readers.manifest import holds_pictures
from jobs.readers.shards import COMPRESSED, read_shards

SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})

Found = tuple[str, int, int]  # path relative to the root with forward slashes, bytes, mtime in ns


def read_folder(root: Path) -> Dataset:
    """All pictures below `root` in the order of their relative paths. When there are none, the samples of its tars, or
    the rows of its Parquet files if these hold pictures. Raises `JobError` when there is nothing.

    The first folder below `root` is the class; folders below that only group. Hidden files and files
    without a picture's extension are passed over and counted in a note.
    """
    pictures: list[Found] = []
    shards: list[str] = []
    tables: list[str] = []
    passed_over = strange = 0
    for entry in _walk(root):
        if Path(entry[0]).suffix.lower() not in EXTENSIONS:
            passed_over += 1
            if entry[0].lower().endswith((".tar", *COMPRESSED)):
                shards.append(str(root / entry[0]))
            elif entry[0].lower().endswith(".parquet"):
                tables.append(entry[0])
        elif not _is_text(entry[0]):
            strange += 1
        else:
            pictures.append(entry)
    if shards and not pictures:
        return read_shards(str(root), sorted(shards))
    if tables and not pictures and holds_pictures(root / min(tables)):
        return read_parquet_files(root, sorted(tables))
    if not pictures:
        others = f" ({passed_over} other files)" if passed_over else ""
        raise JobError(f"no pictures in folder {root}{others}: expected files like .jpg, .png, .webp")
    pictures.sort()
    uris = [uri for uri, _, _ in pictures]
    labels = [uri.split("/", 1)[0] if "/" in uri else None for uri in uris]
    return Dataset(
        root=root,
        kind="class folders" if any(labels) else "flat folder",
        fingerprint=_fingerprint(pictures),
        uris=pa.array(uris, pa.string()),
        label=pa.array(labels, pa.string()) if any(labels) else None,
        notes=tuple(_notes(labels, passed_over, strange)),
    )


def _walk(root: Path) -> Iterator[Found]:
    """Every visible file below `root`. Links to folders are followed, but no folder is entered twice."""
    seen: set[str] = set()
    stack = [("", str(root))]
    while stack:
        prefix, folder = stack.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        for entry in _entries(folder):
            uri = prefix + entry.name
            if entry.is_dir():
                stack.append((uri + "/", entry.path))
            elif not entry.name.startswith("."):
                yield (uri, *_size_and_time(entry))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not (entry.name.startswith(".") and entry.is_dir())]
    except OSError as error:
        raise JobError(f"cannot read folder {folder}: {error.strerror}") from error


def _size_and_time(entry: os.DirEntry[str]) -> tuple[int, int]:
    try:
        stat = entry.stat()
    except OSError:  # a dangling link: decoding will report it as missing
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _fingerprint(pictures: list[Found]) -> str:
    digest = hashlib.sha256()
    for uri, size, mtime in pictures:
        digest.update(f"{uri}\0{size}\0{mtime}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _is_text(name: str) -> bool:
    """Whether the file's name can be stored: on Linux a name may be any bytes."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _notes(labels: list[str | None], passed_over: int, strange: int) -> Iterator[str]:
    if passed_over:
        yield f"passed over {passed_over} files whose names are not those of pictures"
    if strange:
        yield f"passed over {strange} pictures whose names are not valid UTF-8"
    classes = {label for label in labels if label is not None}
    loose = labels.count(None)
    if classes and loose:
        yield f"{loose} pictures beside the class folders have no label"
    if classes and {name.lower() for name in classes} <= SPLIT_NAMES:
        names = ", ".join(sorted(classes))
        yield f"the folders ({names}) look like splits, not classes: point --data at one of them"
