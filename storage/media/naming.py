"""Names of pictures taken apart: pure functions over strings."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import quote, unquote
from urllib.request import url2pathname

from storage.media.errors import OutsideRoot
from storage.media.files import is_url, scheme_of
from storage.media.http import SCHEMES

MEMBER = re.compile(r"(?P<tar>.+?\.tar)(?:#(?P<offset>\d{1,18})\+(?P<size>\d{1,18}))?/(?P<name>.+)", re.DOTALL)
ROW = re.compile(r"(?P<table>.+\.(?:arrow|parquet))#(?P<row>\d{1,18})", re.DOTALL)


class Member(NamedTuple):
    """A member of a tar; `span` is where its bytes lie (offset, size), when the uri says so."""

    tar: str
    name: str
    span: tuple[int, int] | None


def joined(root: str, uri: str) -> str:
    """The address of `uri`: a path, or a URL when the root or the uri is one. `file://` becomes a path."""
    if is_url(uri):
        return as_path(uri)
    if not is_url(root):
        return os.path.join(root, uri)
    scheme, _, rest = root.partition("://")
    host, _, folder = rest.partition("/")
    path = posixpath.normpath("/" + folder + "/" + uri).lstrip("/")  # '..' ends at the host
    return f"{scheme}://{host}/{_quoted(path, len(folder)) if scheme.lower() in SCHEMES else path}"


def _quoted(path: str, done: int) -> str:
    """A path for a web server; the first `done` characters come from a URL and are as they must be."""
    name = path[done:]
    kept = "/#+" if "#" in name and (MEMBER.fullmatch(name) or ROW.fullmatch(name)) else "/"
    return path[:done] + quote(name, safe=kept)


def as_path(url: str) -> str:
    """The path of a `file://` URL, any other address as it is."""
    return url2pathname(path_of(url)) if scheme_of(url) == "file" else url


def path_of(url: str) -> str:
    """The path of a URL, without what a server is asked beside it; any text will do, where urlsplit refuses some."""
    return "/" + re.split("[?#]", url.partition("://")[2], maxsplit=1)[0].partition("/")[2]


def origin(url: str) -> str:
    """Scheme and host (or bucket) of a URL: https://example.org of https://example.org/a/b.jpg."""
    return f"{scheme_of(url)}://{url.partition('://')[2].partition('/')[0]}"


def checked(root: str, uri: str, origins: Collection[str] = (), allowed: Collection[str] = ()) -> str:
    """The address of `uri` when it lies below `root` or one of the folders `allowed`, or is a URL of one of the
    `origins`. Links are not looked at. Raises `OutsideRoot`."""
    address = joined(root, uri)
    if not is_url(address):
        path = os.path.normpath(address)
        if not any(below(folder, path) for folder in (root, *allowed) if not is_url(folder)):
            raise OutsideRoot(uri)
        return path
    folders = [folder for folder in allowed if is_url(folder)] + ([root] if is_url(root) and not is_url(uri) else [])
    known = origin(address) in origins if is_url(uri) else False
    if ".." in unquote(address).split("/"):
        raise OutsideRoot(uri)
    if not known and not any(address.startswith(folder.rstrip("/") + "/") for folder in folders):
        raise OutsideRoot(uri)
    return address


def below(folder: str, path: str) -> bool:
    """Whether a path, without '..' in it, lies below a folder of this machine, by their names."""
    base = os.path.normpath(folder)
    return os.path.isabs(base) == os.path.isabs(path) and os.path.commonpath([base, path]) == base


def member_of(address: str) -> Member | None:
    """The member of a tar that `address` names; None when there is no tar in it."""
    match = MEMBER.fullmatch(address)
    if match is None:
        return None
    span = None if match["offset"] is None else (int(match["offset"]), int(match["size"]))
    name = unquote(match["name"]) if scheme_of(address) in SCHEMES else match["name"]
    return Member(match["tar"], name, span)


def row_of(address: str) -> tuple[str, int] | None:
    """The table and the row (from 0) that `address` names; None when it names no row."""
    match = ROW.fullmatch(address)
    return None if match is None else (match["table"], int(match["row"]))


def member_name(name: str) -> str | None:
    """A member's name as uris have it, without './'; None for one that would leave its archive."""
    tidy = posixpath.normpath(name)
    return None if tidy.startswith(("/", "../")) or tidy in ("..", ".") else tidy
