"""Where a picture lies, and its bytes from there."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol

from storage.media import rows, tars
from storage.media.errors import OutsideRoot
from storage.media.files import Stamp, exists, is_url, read_all, size_and_stamp
from storage.media.naming import below, checked, joined, member_of, row_of


class Place(Protocol):
    """One picture's bytes, not opened yet. Hashable, small, picklable."""

    def open(self) -> BinaryIO:
        """The bytes as a seekable file. Raises FileNotFoundError, another OSError, or `MediaError`."""
        ...

    def stamp(self) -> Stamp:
        """A mark that changes with the bytes, () where asking would need a network. Raises OSError."""
        ...

    def is_there(self) -> bool:
        """Whether there is such a picture now."""
        ...


@dataclass(frozen=True)
class LocalFile:
    """A file of this machine."""

    path: str

    def open(self) -> BinaryIO:
        """The open file."""
        mode = os.stat(self.path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a pipe would wait for ever
            raise OSError("not a file")
        return open(self.path, "rb")

    def stamp(self) -> Stamp:
        """Its time and size."""
        return size_and_stamp(self.path)[1]

    def is_there(self) -> bool:
        """Whether it is a file."""
        return os.path.isfile(self.path)


@dataclass(frozen=True)
class RemoteFile:
    """A file behind a URL."""

    url: str

    def open(self) -> BinaryIO:
        """The whole file, in memory: a picture is small, and its decoder seeks to and fro."""
        return io.BytesIO(read_all(self.url))

    def stamp(self) -> Stamp:
        """Nothing: nobody asks a server for every tile of a page."""
        return ()

    def is_there(self) -> bool:
        """Whether the server has it."""
        return exists(self.url)


@dataclass(frozen=True)
class TarMember:
    """A member of an uncompressed tar; `span` is (offset, bytes) where that is known."""

    tar: str
    name: str
    span: tuple[int, int] | None = None

    def open(self) -> BinaryIO:
        """The member, in memory."""
        return io.BytesIO(tars.read_member(self.tar, self.name, self.span))

    def stamp(self) -> Stamp:
        """Time and size of the archive."""
        return () if is_url(self.tar) else size_and_stamp(self.tar)[1]

    def is_there(self) -> bool:
        """Whether the archive holds it."""
        try:
            return self.span is not None or tars.find(self.tar, self.name) is not None
        except OSError:
            return False


@dataclass(frozen=True)
class TableRow:
    """The picture in a row (from 0) of an Arrow or Parquet file."""

    table: str
    row: int

    def open(self) -> BinaryIO:
        """The bytes in the row."""
        return io.BytesIO(rows.read_bytes(self.table, self.row))

    def stamp(self) -> Stamp:
        """Time and size of the table's file."""
        return () if is_url(self.table) else size_and_stamp(self.table)[1]

    def is_there(self) -> bool:
        """Whether the file of the table exists."""
        return exists(self.table)


def locate(root: str | Path, uri: str) -> Place:
    """Where the picture `uri` of the dataset at `root` lies. For the job, which trusts its dataset; reads nothing."""
    return _place(joined(str(root), uri))


def inside(
    root: str | Path, uri: str, origins: Collection[str] = (), allowed: Collection[str] = (), *, links: bool = True
) -> Place:
    """The same for a uri that somebody else wrote down: it must lie below `root` or a folder `allowed`, or be a URL of
    `origins`. Without `links`, what links lead to must lie there too. Raises `OutsideRoot`.
    """
    if links or is_url(joined(str(root), uri)):
        return _place(checked(str(root), uri, origins, allowed))
    return _resolved(_place(os.path.normpath(joined(str(root), uri))), [str(root), *allowed], uri)


def _resolved(place: Place, folders: Collection[str], uri: str) -> Place:
    """A place of this machine by its real path, which is what will be opened. Raises `OutsideRoot`."""
    field = {LocalFile: "path", TarMember: "tar", TableRow: "table"}[type(place)]
    try:
        real = os.path.realpath(getattr(place, field))
        homes = [os.path.realpath(folder) for folder in folders if not is_url(folder)]
    except (OSError, ValueError):  # a null byte
        raise OutsideRoot(uri) from None
    if not any(below(home, real) for home in homes):
        raise OutsideRoot(uri)
    return replace(place, **{field: real})  # type: ignore[type-var]


def _place(address: str) -> Place:
    member = member_of(address)
    if member is not None and (is_url(member.tar) or os.path.isfile(member.tar)):  # a folder may be called a.tar too
        return TarMember(*member)
    row = row_of(address)
    if row is not None:
        return TableRow(*row)
    return RemoteFile(address) if is_url(address) else LocalFile(address)
