"""A manifest: one row per sample in CSV, TSV, JSON Lines or Parquet.

Columns: `image` (path, relative to the manifest's folder) and any of `label`, `text`, `split`, `mask`,
`boxes`; every other column is kept as metadata with its type.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import JobError, nearest
from jobs.readers.dataset import ROLES, Dataset
from jobs.readers.tables import as_strings, as_typed, read_csv, read_jsonl, read_parquet

FORMATS: dict[str, Callable[[Path], pa.Table]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
}
# what people call the picture's column elsewhere, to say which one is probably meant
ALIASES = ("file_name", "filename", "filepath", "file_path", "image_path", "path", "file", "img", "images", "uri")
PROBED = 20


def read_manifest(path: Path) -> Dataset:
    """The rows of `path` in file order. Raises `JobError` for a table that cannot be read or has no `image`."""
    table = _read(path)
    names = [name.strip() for name in table.column_names]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise JobError(f"{path.name} has two columns named '{twice[0]}'")
    columns = dict(zip(names, (column.combine_chunks() for column in table.columns), strict=True))
    if "image" not in columns:
        raise _no_image(path, names)
    if table.num_rows == 0:
        raise JobError(f"{path.name} has no rows")
    roles = {role: as_strings(columns[role], f"{path.name}, column '{role}'") for role in ROLES if role in columns}
    uris = _relative(as_strings(columns["image"], f"{path.name}, column 'image'"), path.parent)
    _require_some_file(uris, path)
    return Dataset(
        root=path.parent,
        kind=path.suffix.lower().lstrip("."),
        fingerprint=hashlib.sha256(path.read_bytes()).hexdigest(),
        uris=pc.fill_null(uris, ""),
        **roles,
        metadata={name: as_typed(columns[name]) for name in names if name != "image" and name not in ROLES},
        problems=_problems(uris, roles.get("text")),
    )


def _read(path: Path) -> pa.Table:
    try:
        return FORMATS[path.suffix.lower()](path)
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise JobError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from error


def _no_image(path: Path, names: list[str]) -> JobError:
    close = [name for name in names if name.lower() in ("image", *ALIASES)] or nearest("image", names, 1)
    hint = f"; rename '{close[0]}' to 'image'?" if close else ""
    return JobError(f"{path.name} has no column 'image', only {', '.join(names)}{hint}")


def _relative(uris: pa.Array, root: Path) -> pa.Array:
    """Tidy paths, and make absolute ones below `root` relative to it."""
    prefix = str(root) + os.sep
    tidy = [None if uri is None else os.path.normpath(uri).removeprefix(prefix) for uri in uris.to_pylist()]
    return pa.array(tidy, pa.string())


def _require_some_file(uris: pa.Array, path: Path) -> None:
    """Refuse a manifest whose paths are relative to another folder before a whole run fails row by row."""
    probes = uris.drop_null().slice(0, PROBED).to_pylist()
    if len(probes) > 1 and not any((path.parent / probe).exists() for probe in probes):
        raise JobError(
            f"{path.name}: none of the first {len(probes)} pictures exists, for example {probes[0]}; "
            f"paths are relative to {path.parent}"
        )


def _problems(uris: pa.Array, texts: pa.Array | None) -> dict[int, str]:
    """Rows without a picture, and rows that repeat the picture (and the text, when there is one)."""
    problems = {int(row): "the row has no image" for row in np.flatnonzero(uris.is_null().to_numpy(False))}
    keys = uris if texts is None else pc.binary_join_element_wise(uris, pc.fill_null(texts, ""), "\0")
    codes = np.asarray(pc.fill_null(keys.dictionary_encode().indices, -1))
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    same = "image" if texts is None else "image and text"
    for row in np.flatnonzero(first[inverse] != np.arange(len(codes))).tolist():
        problems.setdefault(row, f"repeats the {same} of row {first[inverse[row]] + 1}")
    return problems
