"""Files by address: a path of this machine or a URL. Everything above this module is the same for both."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from storage.media import http
from storage.media.errors import MediaError, MissingBackend

URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
# Where files lie that pictures are read from. fsspec knows more kinds: some are this machine under another name
# (local://, dir://, reference://), and a uri must not read files that it could not name as a path.
KINDS = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "hf", "http", "https", "ftp", "sftp", "ssh"})
# what file systems call the time or the mark of a version, most telling first
STAMPS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")

Stamp = tuple[str, ...]  # changes when the bytes change, as far as that can be told cheaply


def is_url(address: str) -> bool:
    """Whether `address` is a URL such as s3://bucket/a.tar, and not a path."""
    return URL.match(address) is not None


def scheme_of(url: str) -> str:
    """The kind of a URL, in lower case: 's3' of s3://bucket/a.tar."""
    return url.partition("://")[0].lower()


@contextmanager
def told(address: str) -> Iterator[None]:
    """Turn what a file system's own package raises into a `MediaError`; OSErrors and our own pass."""
    try:
        yield
    except (OSError, MediaError):
        raise
    except Exception as error:  # botocore, gcsfs, ... have families of errors of their own
        line = " ".join(str(error).split())[:120]
        raise MediaError(f"{scheme_of(address)}:// cannot be read ({type(error).__name__}: {line})") from error


def filesystem(url: str, *, kinds: Collection[str] | None = KINDS | {"memory"}) -> tuple[Any, str]:
    """fsspec's file system of `url`, and the path in it. Raises `MissingBackend` or `MediaError`.

    `kinds` are the kinds of addresses that are read, None: all that fsspec knows, for addresses that the user typed.
    Not kept here: fsspec remembers it per process and thread, which is what a forked worker needs.
    """
    import fsspec

    scheme = scheme_of(url)
    if "::" in url:
        raise MediaError(f"{url}: chained addresses (::) are not read")
    if kinds is not None and scheme not in kinds:
        raise _unknown_kind(scheme)
    try:
        return cast("tuple[Any, str]", fsspec.core.url_to_fs(url))
    except ImportError as error:
        package = PACKAGES.get(scheme)
        hint = f"pip install {package}" if package else " ".join(str(error).split())[:120]
        raise MissingBackend(f"{scheme}:// addresses need a package that is not installed: {hint}") from error
    except ValueError as error:
        raise _unknown_kind(scheme) from error
    except OSError as error:  # of a host that is spoken to at once, as one of FTP is
        line = " ".join(str(error).split())[:120]
        raise MediaError(f"{scheme}:// cannot be reached ({line})") from error


def _unknown_kind(scheme: str) -> MissingBackend:
    known = "s3, gs, az, hf, http, https, ftp, sftp, memory, file"
    return MissingBackend(f"unknown kind of address {scheme}://; there is {known}")


def open_file(address: str) -> BinaryIO:
    """The file at `address`, seekable, at its start. Raises FileNotFoundError, another OSError, or `MediaError`."""
    if not is_url(address):
        return open(address, "rb")
    if scheme_of(address) in http.SCHEMES:
        return http.open_url(address)
    system, path = filesystem(address)
    with told(address):
        return cast("BinaryIO", system.open(path, "rb"))


def read_range(address: str, offset: int, size: int) -> bytes:
    """`size` bytes from `offset` on; fewer where the file ends earlier. Raises as `open_file`."""
    if is_url(address) and scheme_of(address) in http.SCHEMES:
        return http.fetch(address, offset, size)
    if is_url(address):
        system, path = filesystem(address)
        with told(address):
            return cast("bytes", system.cat_file(path, start=offset, end=offset + size))
    with open(address, "rb", buffering=0) as file:
        file.seek(offset)
        return file.read(size)


def read_all(address: str) -> bytes:
    """All bytes of the file, with one request where there is a server. Raises as `open_file`."""
    if is_url(address) and scheme_of(address) in http.SCHEMES:
        return http.fetch(address)
    with open_file(address) as file:
        return file.read()


def size_and_stamp(address: str) -> tuple[int, Stamp]:
    """Bytes of the file, and a mark of its version. Raises as `open_file`."""
    if not is_url(address):
        found = os.stat(address)
        return found.st_size, (str(found.st_mtime_ns), str(found.st_size))
    if scheme_of(address) in http.SCHEMES:
        return http.size_and_stamp(address)
    system, path = filesystem(address)
    with told(address):
        info = system.info(path)
    if info.get("type") == "directory":
        raise IsADirectoryError(address)
    return int(info["size"] or 0), (mark_of(info), str(info["size"]))


def mark_of(info: Mapping[str, Any]) -> str:
    """What fsspec's `info` of a file says of its version: an ETag, a hash or a time; '' where it says nothing."""
    return next((str(info[name]) for name in STAMPS if info.get(name) is not None), "")


def exists(address: str) -> bool:
    """Whether there is a file (no folder) at `address`."""
    if not is_url(address):
        return os.path.isfile(address)
    try:
        size_and_stamp(address)
    except (OSError, MediaError):
        return False
    return True
