"""Readers: whatever `--data` names, as one `Dataset`."""

from __future__ import annotations

from pathlib import Path

from jobs.errors import JobError, nearest
from jobs.readers.dataset import Dataset
from jobs.readers.folder import read_folder
from jobs.readers.manifest import FORMATS, read_manifest

__all__ = ["Dataset", "read_dataset"]


def read_dataset(data: str | Path) -> Dataset:
    """The dataset at `data`: a folder, or a CSV / TSV / JSONL / Parquet manifest. Raises `JobError`."""
    path = Path(data).expanduser()
    if path.is_dir():
        return read_folder(path.resolve())
    if not path.exists():
        raise JobError(f"--data {data}: no such file or folder{_nearby(path)}")
    if path.suffix.lower() not in FORMATS:
        known = ", ".join(sorted(FORMATS))
        raise JobError(f"--data {data}: cannot read this type of file; give a folder, or a manifest ({known})")
    return read_manifest(path.resolve())


def _nearby(path: Path) -> str:
    """A hint at a name in the same folder that looks alike."""
    try:
        close = nearest(path.name, [entry.name for entry in path.parent.iterdir()], 1)
    except OSError:
        return ""
    return f"; did you mean {path.parent / close[0]}?" if close else ""
