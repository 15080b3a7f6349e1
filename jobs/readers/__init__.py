"""Readers: whatever `--data` names, as one `Dataset`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from jobs.errors import JobError, nearest
from jobs.readers.dataset import Dataset
from jobs.readers.folder import read_folder
from jobs.readers.hub import is_saved, read_parquet_files, read_saved
from jobs.readers.manifest import FORMATS, read_manifest
from jobs.readers.outside import within
from jobs.readers.patterns import expanded, is_pattern
from jobs.readers.remote import read_remote
from jobs.readers.shards import COMPRESSED, read_shards, refuse_compressed
from storage.media import MediaError, is_url
from storage.media.naming import as_path
from storage.media.secrets import has_password, shown

__all__ = ["Dataset", "read_dataset"]

KINDS = "a folder, a manifest ({}), or WebDataset shards (.tar)"


def read_dataset(data: str | Path, allowed: Sequence[str] = ()) -> Dataset:
    """The dataset at `data`: a folder (of pictures, of tars, or saved by Hugging Face's library), a CSV / TSV / JSONL /
    Parquet manifest, or a pattern of tars or Parquet files, here or behind a URL.

    What a manifest names must lie below its own folder or one of the folders `allowed`. Raises `JobError`.
    """
    if has_password(str(data)):
        raise JobError(
            f"--data {shown(str(data))}: an address with a password is not read, since it would stand in the store; "
            "give the password as the service's own settings do (~/.aws/credentials, an environment variable)"
        )
    try:
        return within(_read(str(data)), str(data), tuple(allowed))
    except MediaError as error:
        raise JobError(shown(f"--data {data}: {error}")) from error
    except JobError as error:
        raise JobError(shown(str(error))) from error


def _read(data: str) -> Dataset:
    data = as_path(data) if is_url(data) else data  # file:// is a path like any other
    if is_url(data):
        return read_remote(data)
    path = Path(data).expanduser()
    if path.is_dir():
        return read_saved(path.resolve()) if is_saved(path) else read_folder(path.resolve())
    if not path.exists() and is_pattern(data):
        return _several(data, expanded(str(path)))
    if not path.exists():
        raise JobError(f"--data {data}: no such file or folder{_nearby(path)}")
    if path.name.lower().endswith(COMPRESSED):
        raise refuse_compressed(path.name)
    if path.suffix.lower() == ".tar":
        return read_shards(data, [str(path.resolve())])
    if path.suffix.lower() not in FORMATS:
        known = KINDS.format(", ".join(sorted(FORMATS)))
        raise JobError(f"--data {data}: cannot read this type of file; give {known}")
    return read_manifest(path.resolve())


def _several(data: str, files: list[str]) -> Dataset:
    """Shards, or Parquet files with pictures in them."""
    if all(file.lower().endswith(".parquet") for file in files):
        root = os.path.commonpath([os.path.dirname(file) for file in files])
        return read_parquet_files(Path(root), [os.path.relpath(file, root) for file in files])
    return read_shards(data, files)


def _nearby(path: Path) -> str:
    """A hint at a name in the same folder that looks alike."""
    try:
        close = nearest(path.name, [entry.name for entry in path.parent.iterdir()], 1)
    except OSError:
        return ""
    return f"; did you mean {path.parent / close[0]}?" if close else ""
