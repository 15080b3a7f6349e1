"""What a manifest names outside its own folder: refused unless the user allows the folder it lies in.

A manifest is a text that somebody else may have written, and what it names is read with the user's rights and kept in a
store that others look at. Files that were found by looking into a folder are another matter (docs/security.md).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from jobs.errors import JobError
from jobs.readers.dataset import Dataset
from storage.media import is_url, joined
from storage.media.naming import below
from storage.media.secrets import has_key, has_password, shown


def within(dataset: Dataset, data: str, allowed: tuple[str, ...]) -> Dataset:
    """The dataset with the folders that it may read too, and a note on what lies outside them all.

    Raises `JobError` when no picture (or features file) may be read. Links of single files are seen when they are read.
    """
    dataset = replace(dataset, allowed=allowed)
    pictures = dataset.uris if dataset.pictures is None else dataset.pictures
    named = {"features files": dataset.features, "pictures": pictures, "masks": dataset.mask}
    needed = "pictures" if dataset.features is None else "features files"
    notes = []
    for what, column in named.items():
        names = [] if column is None else column.drop_null().to_pylist()
        outside = _outside(dataset, names)
        if not outside:
            continue
        allow = f"--allow-outside {_home(dataset, outside)} lets them be read"
        if what == needed and len(outside) == len(names):
            raise JobError(
                f"--data {data}: all {len(names)} {what} lie outside {dataset.root}, for example {outside[0]}; {allow}"
            )
        notes.append(f"{len(outside)} {what} lie outside {dataset.root} and are refused; {allow}")
    return replace(dataset, notes=(*dataset.notes, *notes))


def _outside(dataset: Dataset, names: Sequence[str]) -> list[str]:
    """The names that leave the root. One that does only by its letters, through a link to the root itself, does not."""
    if is_url(str(dataset.root)):
        return []
    roots = [folder for folder in (str(dataset.root), *dataset.allowed) if not is_url(folder)]
    real_roots = [os.path.realpath(root) for root in roots]

    @lru_cache(maxsize=65536)
    def leaves(folder: str) -> bool:
        real = os.path.realpath(folder)
        return not any(below(root, real) for root in real_roots)

    def far(name: str) -> bool:
        if not (name.startswith("/") or ".." in name or is_url(name)):
            return False
        address = joined(str(dataset.root), name)
        return not is_url(address) and leaves(os.path.dirname(os.path.normpath(address)))

    return [name for name in names if far(name)]


def _home(dataset: Dataset, outside: Sequence[str]) -> str:
    """The folder that all of them lie in, to be named in a message."""
    folders = [os.path.dirname(os.path.normpath(joined(str(dataset.root), name))) for name in outside]
    return os.path.commonpath([os.path.abspath(folder) for folder in folders])


def allowed_folders(given: Sequence[str]) -> tuple[str, ...]:
    """What `--allow-outside` names: absolute folders, and URLs as they are. Raises `JobError` for no folder."""
    found = []
    for name in given:
        if has_password(name) or has_key(name):
            raise JobError(
                f"--allow-outside {shown(name)}: give the address without passwords and keys, it is recorded"
            )
        path = Path(name).expanduser()
        if not is_url(name) and not path.is_dir():
            raise JobError(f"--allow-outside {name}: no such folder")
        found.append(name.rstrip("/") if is_url(name) else str(path.absolute()))
    return tuple(dict.fromkeys(found))
