"""A manifest: one row per sample in CSV, TSV, JSON Lines or Parquet.

Columns: `image` (path, relative to the manifest's folder, or URL), `text`, or both, and any of `label`, `split`,
`mask`, `boxes`, `features`; every other column is kept as metadata with its type.
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
from jobs.readers.tables import as_strings, as_typed, read_csv, read_jsonl, read_parquet, refuse_repeats
from storage.media import http, is_url, joined, locate, origin
from storage.media.files import filesystem, scheme_of
from storage.media.naming import as_path
from storage.media.rows import picture_column
from storage.media.secrets import has_password, shown

FORMATS: dict[str, Callable[[Path], pa.Table]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
}
# what people call the picture's column elsewhere, to say which one is probably meant
ALIASES = ("file_name", "filename", "filepath", "file_path", "image_path", "path", "file", "img", "images", "uri")
PROBED, FAR = 20, 3  # paths that are looked for before a run; so many behind URLs
MOST_ORIGINS = 1000  # hosts of pictures that a run's record names


def read_manifest(path: Path, root: str | None = None) -> Dataset:
    """The rows of `path` in file order, paths being relative to `root` (a URL), or to the manifest's own folder.

    Raises `JobError` for a table that cannot be read, or has neither `image` nor `text`.
    """
    if path.suffix.lower() == ".parquet" and holds_pictures(path):
        return read_parquet_files(path.parent, [path.name], _fingerprint(path))
    table = _read(path)
    names = [name.strip() for name in table.column_names]
    refuse_repeats(names, path.name)
    columns = dict(zip(names, (column.combine_chunks() for column in table.columns), strict=True))
    if "image" not in columns and "text" not in columns:
        raise _no_image(path, names)
    if table.num_rows == 0:
        raise JobError(f"{path.name} has no rows")
    roles = {role: as_strings(columns[role], f"{path.name}, column '{role}'") for role in ROLES if role in columns}
    place = path.parent if root is None else root
    pictures = _pictures(columns.get("image"), path, table.num_rows)
    origins, notes = _origins(pictures)
    features = _paths(roles, "features", path)
    if features is not None:
        if root is not None:
            raise JobError(
                f"{path.name}: region features are read on this machine only; copy them and the manifest here"
            )
        roles["features"] = features
        _require_some_file(features, path, place, "features files")
    else:  # with features, a picture is for looking at only
        _require_some_file(pictures, path, place, "pictures")
    uris = _uris(pictures)
    return Dataset(
        root=place,
        kind=path.suffix.lower().lstrip("."),
        fingerprint=_fingerprint(path),
        uris=uris,
        **roles,
        pictures=pictures if pictures.null_count else None,
        metadata={name: as_typed(columns[name]) for name in names if name != "image" and name not in ROLES},
        problems=_problems(pictures, roles.get("text")),
        notes=notes,
        origins=origins,
        links=False,
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
    """Tidy paths, and make absolute ones below `root` relative to it; URLs stay."""
    prefix = str(root) + os.sep

    def tidied(uri: str) -> str:
        uri = as_path(uri.strip()) if is_url(uri.strip()) else uri
        return uri if is_url(uri) else os.path.normpath(uri).removeprefix(prefix)

    tidy = [None if uri is None else tidied(uri) for uri in uris.to_pylist()]
    return pa.array(tidy, pa.string())


def _origins(pictures: pa.Array) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The hosts of pictures that are URLs, and notes. Raises `MediaError` when one needs a package that is missing."""
    urls = [uri for uri in pictures.to_pylist() if uri is not None and is_url(uri)]
    told = next((url for url in urls if has_password(url)), None)
    if told is not None:
        raise JobError(
            f"the column 'image' holds an address with a password ({shown(told)}): it would be stored and shown"
        )
    origins = {origin(url): url for url in urls}
    schemes = {scheme_of(url): url for url in origins.values()}
    for scheme in schemes.keys() - set(http.SCHEMES):
        filesystem(schemes[scheme])
    cut = len(origins) > MOST_ORIGINS
    notes = (f"pictures of {len(origins)} hosts: the dashboard shows those of the first {MOST_ORIGINS}",) if cut else ()
    return tuple(sorted(origins)[:MOST_ORIGINS]), notes


def _require_some_file(uris: pa.Array, path: Path, root: Path | str, what: str) -> None:
    """Refuse a manifest whose paths are relative to another folder before a whole run fails row by row."""
    names = uris.drop_null().slice(0, PROBED).to_pylist()
    far = any(is_url(joined(str(root), name)) for name in names)
    probes = [name if what == "pictures" else name.rpartition("#")[0] or name for name in names][
        : FAR if far else PROBED
    ]
    if len(probes) > 1 and not any(_exists(root, probe) for probe in probes):
        raise JobError(
            f"{path.name}: none of the first {len(probes)} {what} exists, for example {probes[0]}; "
            f"paths are relative to {root}"
        )


def _exists(root: Path | str, name: str) -> bool:
    return locate(root, name).is_there() or (not is_url(str(root)) and os.path.exists(os.path.join(root, name)))


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
