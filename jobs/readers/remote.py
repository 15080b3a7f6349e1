"""`--data` that is a URL: manifests, shards, Parquet files and folders elsewhere.

Manifests are fetched whole; pictures are read one by one later, members of tars and rows of Parquet files by ranges.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.errors import JobError, one_line
from jobs.pictures import EXTENSIONS
from jobs.readers.dataset import Dataset
from jobs.readers.hub import read_parquet_files
from jobs.readers.manifest import FORMATS, read_manifest
from jobs.readers.patterns import WILD, braces, is_pattern
from jobs.readers.shards import COMPRESSED, read_shards, refuse_compressed
from storage.media import http
from storage.media.files import filesystem, mark_of, open_file, scheme_of, told
from storage.media.naming import path_of
from storage.media.rows import picture_column


def read_remote(url: str) -> Dataset:
    """The dataset at `url`. Raises `JobError`, or `storage.media.MediaError` (a missing package, a server's answer)."""
    url = url.rstrip("/")
    if scheme_of(url) not in http.SCHEMES:
        filesystem(url)  # says at once which package is missing
    try:
        if is_pattern(_path(url)):
            return _files(url, _expanded(url))
        kind = PurePosixPath(_path(url)).suffix.lower()
        if _path(url).lower().endswith(COMPRESSED):
            raise refuse_compressed(_path(url).rpartition("/")[2])
        if kind in (".tar", *FORMATS):
            return _files(url, [url])
        return _folder(url)
    except FileNotFoundError as error:
        raise JobError(f"--data {url}: no such file or folder") from error
    except OSError as error:
        raise JobError(f"--data {url}: cannot be read ({one_line(error, 200)})") from error


def _path(url: str) -> str:
    """The path of a URL, without what a web server is asked beside it."""
    return path_of(url) if scheme_of(url) in http.SCHEMES else url.partition("://")[2]


def _expanded(url: str) -> list[str]:
    """The URLs that a pattern stands for, braces in their order, the rest sorted."""
    found: list[str] = []
    for name in braces(url):
        if not any(sign in _path(name) for sign in WILD):
            found.append(name)
            continue
        if scheme_of(name) in http.SCHEMES:
            raise JobError(f"--data {url}: a web server does not list its files; write them as {{000000..000009}}")
        base = re.split(r"[*?\[]", name, maxsplit=1)[0].rpartition("/")[0]
        (system, path), folder = filesystem(name), filesystem(base)[1].rstrip("/")
        with told(name):
            found += sorted(base + str(match).removeprefix(folder) for match in system.glob(path))
    if not found:
        raise JobError(f"--data {url}: no file matches")
    return found


def _files(data: str, urls: list[str]) -> Dataset:
    """Tars, Parquet files with pictures, or one manifest."""
    kinds = {PurePosixPath(_path(url)).suffix.lower() for url in urls}
    if not kinds & set(FORMATS):
        return read_shards(data, urls)
    if len(urls) == 1 and not _holds_pictures(urls[0]):
        return _manifest(urls[0])
    if kinds != {".parquet"}:
        raise JobError(f"--data {data}: a pattern names tars or Parquet files, not several manifests")
    root = urls[0].rpartition("/")[0]
    names = [url.removeprefix(root + "/") for url in urls]
    if any("://" in name for name in names):
        raise JobError(f"--data {data}: the Parquet files of a pattern must lie in one folder")
    return read_parquet_files(root, names)


def _holds_pictures(url: str) -> bool:
    if not _path(url).lower().endswith(".parquet"):
        return False
    try:
        with open_file(url) as file:
            return picture_column(pq.read_schema(file)) is not None
    except pa.ArrowException as error:
        raise JobError(f"cannot read {url}: {one_line(error, 200)}") from error


def _manifest(url: str) -> Dataset:
    """A manifest, read from a copy that is gone afterwards; its pictures are relative to where it came from."""
    name = PurePosixPath(_path(url)).name
    with tempfile.TemporaryDirectory() as folder, open_file(url) as file:
        copy = Path(folder) / name
        with copy.open("wb") as out:
            while block := file.read(1 << 20):
                out.write(block)
        return read_manifest(copy, url.partition("?")[0].rpartition("/")[0])


def _folder(url: str) -> Dataset:
    """Pictures below a folder, the first folder being the class, or its tars."""
    if scheme_of(url) in http.SCHEMES:
        raise JobError(f"--data {url}: a web server does not list its files; give a manifest or a .tar")
    system, path = filesystem(url)
    with told(url):
        found = {str(name): info for name, info in system.find(path, detail=True).items()}
    base = path.rstrip("/") + "/"
    names = sorted(name.removeprefix(base) for name in found if not _hidden(name.removeprefix(base)))
    if "state.json" in names or "dataset_dict.json" in names:
        raise JobError(f"--data {url}: a saved dataset is read on this machine only; copy it here")
    pictures = [name for name in names if PurePosixPath(name).suffix.lower() in EXTENSIONS]
    tars = [f"{url}/{name}" for name in names if name.lower().endswith(".tar")]
    if tars and not pictures:
        return read_shards(url, tars)
    if not pictures:
        others = f" ({len(names)} other files)" if names else ""
        raise JobError(f"no pictures in {url}{others}: expected files like .jpg, .png, .webp")
    digest = hashlib.sha256()
    for name in pictures:
        info = found[base + name]
        digest.update(f"{name}\0{info.get('size')}\0{mark_of(info)}\n".encode(errors="surrogateescape"))
    labels = pa.array([name.partition("/")[0] if "/" in name else None for name in pictures], pa.string())
    classes = labels.null_count < len(labels)
    passed = len(names) - len(pictures)
    return Dataset(
        root=url,
        kind="class folders" if classes else "flat folder",
        fingerprint=digest.hexdigest(),
        uris=pa.array(pictures, pa.string()),
        label=labels if classes else None,
        notes=(f"passed over {passed} files whose names are not those of pictures",) if passed else (),
    )


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
