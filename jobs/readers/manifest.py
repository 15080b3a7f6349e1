"""A manifest: one row per sample in CSV, TSV, JSON Lines or Parquet.

Columns: `image` (path, relative to the manifest's folder), `text`, or both, and any of `label`, `split`, `mask`,
`boxes`, `features`; every other column is kept as metadata with its type.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.errors import JobError, nearest
from jobs.readers.dataset import ROLES, Dataset
from jobs.readers.hub import read_parquet_files
from jobs.readers.tables import as_strings, as_typed, read_csv, read_jsonl, read_parquet
from storage.media.rows import picture_column

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
    """The rows of `path` in file order. Raises `JobError` for a table that cannot be read, or has neither `image`
    nor `text`."""
    if path.suffix.lower() == ".parquet" and holds_pictures(path):
        return read_parquet_files(path.parent, [path.name], _fingerprint(path))
    table = _read(path)
    names = [name.strip() for name in table.column_names]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise JobError(f"{path.name} has two columns named '{twice[0]}'")
    columns = dict(zip(names, (column.combine_chunks() for column in table.columns), strict=True))
    if "image" not in columns and "text" not in columns:
        raise _no_image(path, names)
    if table.num_rows == 0:
        raise JobError(f"{path.name} has no rows")
    roles = {role: as_strings(columns[role], f"{path.name}, column '{role}'") for role in ROLES if role in columns}
    pictures = _pictures(columns.get("image"), path, table.num_rows)
    features = _paths(roles, "features", path)
    if features is not None:
        roles["features"] = features
        _require_some_file(features, path, "features files")
    else:  # with features, a picture is for looking at only
        _require_some_file(pictures, path, "pictures")
    uris = _uris(pictures)
    return Dataset(
        root=path.parent,
        kind=path.suffix.lower().lstrip("."),
        fingerprint=_fingerprint(path),
        uris=uris,
        **roles,
        pictures=pictures if pictures.null_count else None,
        metadata={name: as_typed(columns[name]) for name in names if name != "image" and name not in ROLES},
        problems=_problems(pictures, roles.get("text")),
    )


def holds_pictures(path: Path) -> bool:
    """Whether a Parquet file holds the pictures themselves, as the files of the Hugging Face hub do."""
    try:
        return picture_column(pq.read_schema(path)) is not None
    except (pa.ArrowException, OSError):
        return False


def _read(path: Path) -> pa.Table:
    try:
        return FORMATS[path.suffix.lower()](path)
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise JobError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from error


def _fingerprint(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pictures(column: pa.Array | None, path: Path, rows: int) -> pa.Array:
    """Paths of the pictures, null where a row has none."""
    if column is None:
        return pa.nulls(rows, pa.string())
    return _relative(as_strings(column, f"{path.name}, column 'image'"), path.parent)


def _paths(roles: dict[str, pa.Array], role: str, path: Path) -> pa.Array | None:
    """References of a role, paths tidied; `JobError` for vectors written out as text."""
    if role not in roles:
        return None
    if any(value.lstrip().startswith("[") for value in roles[role].drop_null().slice(0, PROBED).to_pylist()):
        raise JobError(
            f"{path.name}, column '{role}' holds the numbers themselves: put them into .npz or HDF5 files and give "
            "their paths, or write the manifest as Parquet with a list column"
        )
    return _relative(roles[role], path.parent)


def _uris(pictures: pa.Array) -> pa.Array:
    """The names of the samples: their pictures, or the numbers of their rows, counted from 1."""
    rows = pa.array([f"row {row}" for row in range(1, len(pictures) + 1)]) if pictures.null_count else None
    return pictures if rows is None else pc.coalesce(pictures, rows)


def _no_image(path: Path, names: list[str]) -> JobError:
    close = [name for name in names if name.lower() in ("image", *ALIASES)] or nearest("image", names, 1)
    hint = f"; rename '{close[0]}' to 'image'?" if close else ""
    return JobError(f"{path.name} has no column 'image' (or 'text'), only {', '.join(names)}{hint}")


def _relative(uris: pa.Array, root: Path) -> pa.Array:
    """Tidy paths, and make absolute ones below `root` relative to it."""
    prefix = str(root) + os.sep
    tidy = [None if uri is None else os.path.normpath(uri).removeprefix(prefix) for uri in uris.to_pylist()]
    return pa.array(tidy, pa.string())


def _require_some_file(uris: pa.Array, path: Path, what: str) -> None:
    """Refuse a manifest whose paths are relative to another folder before a whole run fails row by row."""
    probes = [uri.rpartition("#")[0] or uri for uri in uris.drop_null().slice(0, PROBED).to_pylist()]
    if len(probes) > 1 and not any((path.parent / probe).exists() for probe in probes):
        raise JobError(
            f"{path.name}: none of the first {len(probes)} {what} exists, for example {probes[0]}; "
            f"paths are relative to {path.parent}"
        )


def _problems(uris: pa.Array, texts: pa.Array | None) -> dict[int, str]:
    """Rows that repeat the picture (and the text, when there is one). A text alone may well occur twice."""
    problems: dict[int, str] = {}
    keys = uris if texts is None else pc.binary_join_element_wise(uris, pc.fill_null(texts, ""), "\0")
    codes = np.asarray(pc.fill_null(keys.dictionary_encode().indices, -1))
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    same = "image" if texts is None else "image and text"
    for row in np.flatnonzero((first[inverse] != np.arange(len(codes))) & (codes >= 0)).tolist():
        problems[row] = f"repeats the {same} of row {first[inverse[row]] + 1}"
    return problems
