"""Tables of Hugging Face with the pictures in them: `Dataset.save_to_disk`, and the hub's Parquet files.

Read with pyarrow alone. A picture is a struct{bytes, path}; its uri names the file and the row (`train-0.parquet#12`),
and `storage.media` reads the bytes later. Class numbers become names where the table says what they mean.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import JobError
from jobs.readers.dataset import ROLES, Dataset
from jobs.readers.hub_pictures import arrow_pictures, parquet_pictures
from jobs.readers.tables import as_strings, as_typed, refuse_repeats
from storage.media.files import open_file, size_and_stamp
from storage.media.rows import is_pictures, open_arrow, picture_column

SPLIT = re.compile(r"(?:^|/)([A-Za-z_]+)-\d{5}-of-\d{5}[^/]*\.parquet$")  # how the hub names files
FILE_NAME = "file_name"  # metadata column for what a picture was called before it was put into the table
TEXTS = ("text", "caption")


@dataclass(frozen=True)
class Part:
    """One file: its rows without the pictures, and per row the picture's name (null without one) and former name."""

    table: pa.Table
    pictures: pa.Array
    paths: pa.Array
    split: str | None
    skipped: tuple[str, ...]


def is_saved(folder: Path) -> bool:
    """Whether `Dataset.save_to_disk` or `DatasetDict.save_to_disk` has made `folder`."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def read_saved(root: Path) -> Dataset:
    """The rows of a saved dataset, split by split. Raises `JobError`."""
    splits = _json(root / "dataset_dict.json").get("splits") if (root / "dataset_dict.json").is_file() else None
    digest, parts = hashlib.sha256(), []
    features: dict[str, Any] = {}
    if splits is not None and not (isinstance(splits, list) and all(isinstance(split, str) for split in splits)):
        raise JobError(f"{root / 'dataset_dict.json'} names no splits: {str(splits)[:60]}")
    for split in [None] if splits is None else splits:
        folder = root if split is None else root / Path(str(split)).name
        state = _json(folder / "state.json")
        info = folder / "dataset_info.json"
        features = features or (_object(_json(info).get("features")) if info.is_file() else {})
        for file in _data_files(state, folder):
            name = os.path.normpath(f"{split or '.'}/{file}")
            if name.startswith(("/", "..")):
                raise JobError(f"{root} is no saved dataset: its state.json names {name}, which lies outside it")
            digest.update(repr((name, state.get("_fingerprint"), _size(root / name))).encode())
            parts.append(_arrow_part(root, name, split or _text(state.get("_split"))))
    if not parts:
        raise JobError(f"{root} is a saved dataset without data files (state.json names none)")
    return _dataset(root, "saved dataset", digest.hexdigest(), parts, features)


def _data_files(state: dict[str, Any], folder: Path) -> list[str]:
    """The names of the files that hold the rows."""
    listed = state.get("_data_files") or []
    named = [_object(file).get("filename") for file in listed] if isinstance(listed, list) else [None]
    names = [name for name in named if isinstance(name, str) and "\0" not in name]
    if len(names) < len(named):
        raise JobError(f"{folder / 'state.json'} does not name its files: {str(listed)[:60]}")
    return names


def _object(value: Any) -> dict[str, Any]:
    """A JSON object, empty in place of anything else."""
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def read_parquet_files(root: Path | str, names: Sequence[str], fingerprint: str | None = None) -> Dataset:
    """The rows of Parquet files with pictures in them; `names` are relative to `root`. Raises `JobError`.

    Without a `fingerprint` it is made from the names, sizes and times of the files.
    """
    digest, parts = hashlib.sha256(), []
    for name in names:
        digest.update(repr((name, size_and_stamp(_address(root, name)))).encode())
        parts.append(_parquet_part(root, name, len(names) > 1))
    return _dataset(root, "parquet", fingerprint or digest.hexdigest(), parts, {})


def _arrow_part(root: Path, name: str, split: str | None) -> Part:
    try:
        table = open_arrow(str(root / name))
    except (OSError, pa.ArrowException) as error:
        raise JobError(f"cannot read {root / name}: {' '.join(str(error).split())[:200]}") from error
    refuse_repeats(table.schema.names, name)
    column = _picture_column(table.schema, name)
    kept, skipped = _kept(table.schema, column)
    pictures, paths = arrow_pictures(table.column(column), name)
    return Part(table.select(kept), pictures, paths, split, skipped)


def _parquet_part(root: Path | str, name: str, several: bool) -> Part:
    import pyarrow.parquet as pq

    try:
        with open_file(_address(root, name)) as opened:
            file = pq.ParquetFile(opened)
            refuse_repeats(file.schema_arrow.names, name)
            column = _picture_column(file.schema_arrow, name)
            kept, skipped = _kept(file.schema_arrow, column)
            pictures, paths = parquet_pictures(file, column, name)
            table = file.read(columns=kept, use_threads=False).replace_schema_metadata(file.schema_arrow.metadata)
    except (OSError, pa.ArrowException) as error:
        raise JobError(f"cannot read {name}: {' '.join(str(error).split())[:200]}") from error
    match = SPLIT.search(name) if several else None
    return Part(table, pictures, paths, match and match[1], skipped)


def _dataset(root: Path | str, kind: str, fingerprint: str, parts: Sequence[Part], features: dict[str, Any]) -> Dataset:
    first = parts[0].table.schema
    for part in parts:
        if part.table.schema.names != first.names:
            raise JobError(f"the files of {root} have different columns: {first.names} and {part.table.schema.names}")
    features = _features(first) or features
    columns = {name: pa.concat_arrays([_chunks(part, name, features) for part in parts]) for name in first.names}
    pictures = _relative(pa.concat_arrays([part.pictures for part in parts]), str(root))
    if len(pictures) == 0:
        raise JobError(f"{root} has no rows")
    sources = _sources(columns, features)
    roles = {role: as_strings(columns[name], f"column '{name}'") for role, name in sources.items()}
    if any(part.split for part in parts) and "split" not in roles:
        splits = [pa.array([part.split] * len(part.pictures), pa.string()) for part in parts]
        roles["split"] = pa.concat_arrays(splits)
    taken = {*ROLES, *sources.values()}
    metadata = {name: as_typed(column) for name, column in columns.items() if name not in taken}
    paths = pa.concat_arrays([part.paths for part in parts])
    if paths.null_count < len(paths):
        metadata.setdefault(FILE_NAME, paths)
    return Dataset(
        root=root,
        kind=kind,
        fingerprint=fingerprint,
        uris=pc.coalesce(pictures, pa.array([f"row {row}" for row in range(1, len(pictures) + 1)]))
        if pictures.null_count
        else pictures,
        **roles,
        pictures=pictures if pictures.null_count else None,
        metadata=metadata,
        notes=tuple(f"the column '{name}' is not read: {why}" for name, why in _why(parts[0].skipped)),
    )


def _sources(columns: dict[str, pa.Array], features: dict[str, Any]) -> dict[str, str]:
    """The columns that mean something to a run, by what they mean."""
    sources = {role: role for role in ("split", "mask", "boxes") if role in columns}
    text = next((name for name in TEXTS if name in columns), None)
    label = _label(columns, features)
    return sources | {role: name for role, name in (("text", text), ("label", label)) if name is not None}


def _label(columns: dict[str, pa.Array], features: dict[str, Any]) -> str | None:
    """The column of the label: `label`, or the only one whose numbers are those of classes."""
    if "label" in columns:
        return "label"
    classes = [name for name in columns if _names(features, name) is not None]
    return classes[0] if len(classes) == 1 else None


def _chunks(part: Part, name: str, features: dict[str, Any]) -> pa.Array:
    column = part.table.column(name).combine_chunks()
    names = _names(features, name)
    if names is None or not pa.types.is_integer(column.type):
        return column
    known = pc.if_else(pc.and_(pc.greater_equal(column, 0), pc.less(column, len(names))), column, None)  # -1: unknown
    return pa.array(names, pa.string()).take(known.cast(pa.int64()))


def _names(features: dict[str, Any], name: str) -> list[str] | None:
    """The names of a ClassLabel column, None for any other."""
    feature = features.get(name)
    found = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
    return [str(value) for value in found] if isinstance(found, list) and found else None


def _features(schema: pa.Schema) -> dict[str, Any]:
    """What `datasets` notes about the columns in the metadata of a schema; {} when it did not write it."""
    try:
        return dict(json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"])
    except (KeyError, ValueError, TypeError):
        return {}


def _picture_column(schema: pa.Schema, name: str) -> str:
    column = picture_column(schema)
    if column is None:
        raise JobError(f"{name} has no column of pictures (a struct of bytes and path), only {', '.join(schema.names)}")
    return column


def _kept(schema: pa.Schema, picture: str) -> tuple[list[str], tuple[str, ...]]:
    """The columns that are read, and those that are not, each with the reason after a tab."""
    kept, skipped = [], []
    for field in schema:
        if is_pictures(field.type):
            skipped += [] if field.name == picture else [f"{field.name}\tmore pictures"]
        elif (pa.types.is_nested(field.type) and field.name != "boxes") or _is_bytes(field.type):
            skipped.append(f"{field.name}\t{field.type}")
        else:
            kept.append(field.name)
    return kept, tuple(skipped)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _why(skipped: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, why) for name, _, why in (one.partition("\t") for one in skipped)]


def _relative(pictures: pa.Array, root: str) -> pa.Array:
    """Names of pictures relative to the root; those of rows are already."""
    prefix = root.rstrip("/") + "/"
    names = [None if name is None else name.removeprefix(prefix) for name in pictures.to_pylist()]
    return pa.array(names, pa.string())


def _address(root: Path | str, name: str) -> str:
    return f"{str(root).rstrip('/')}/{name}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise JobError(f"{path} is missing: the saved dataset is not complete") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JobError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(found, dict):
        raise JobError(f"{path} is no JSON object")
    return found
