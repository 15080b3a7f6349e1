"""Members of uncompressed tars by name: an archive is walked once per process, then read at offsets."""

from __future__ import annotations

import hashlib
import tarfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from storage.media.errors import MediaError
from storage.media.files import Stamp, is_url, open_file, read_range, size_and_stamp
from storage.media.naming import member_name

REMEMBERED = 2_000_000  # members of all indexed archives together: 24 bytes each
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Member:
    """A file in a tar: its bytes are `size` bytes from `offset` on."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Index:
    """Where M members lie, without their names: `keys` uint64 [M] sorted, `offsets` and `sizes` int64 [M]."""

    keys: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, members: list[Member]) -> Index:
        """From the members of an archive; the last of two with one name counts, as when a tar is unpacked."""
        keys = np.array([_key(member.name) for member in members], np.uint64)
        order = np.argsort(keys, kind="stable")
        spans = np.array([(member.offset, member.size) for member in members], np.int64).reshape(-1, 2)[order]
        return cls(keys[order], spans[:, 0].copy(), spans[:, 1].copy())

    def find(self, name: str) -> tuple[int, int] | None:
        """Offset and size of a member, None when there is none of this name."""
        key = np.uint64(_key(name))
        at = int(np.searchsorted(self.keys, key, side="right")) - 1
        if at < 0 or self.keys[at] != key:
            return None
        return int(self.offsets[at]), int(self.sizes[at])


_Key = tuple[str, Stamp]
_INDEXES: OrderedDict[_Key, Index] = OrderedDict()
_LOCK = threading.Lock()


class Shard:
    """An open tar. Iterating yields its regular files in order; `damaged` says afterwards that it broke off.

    Whoever has walked one to its end has indexed it for this process, and for those that are forked from it.
    """

    def __init__(self, address: str, file: BinaryIO) -> None:
        self.address = address
        self.damaged = False
        self._file = file
        self._all: list[Member] = []

    def __enter__(self) -> Shard:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Member]:
        try:
            with tarfile.open(fileobj=self._file, mode="r:") as tar:
                while (info := tar.next()) is not None:
                    tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                    name = member_name(info.name) if info.isreg() and not info.issparse() else None
                    if name is not None:
                        self._all.append(Member(name, info.offset_data, info.size))
                        yield self._all[-1]
                self._file.seek(tar.offset)
                self.damaged = bool(self._file.read(tarfile.BLOCKSIZE).strip(b"\0"))
        except (tarfile.TarError, OSError, ValueError, EOFError):
            self.damaged = True
        _remember(_key_of(self.address), Index.of(self._all))

    def read(self, member: Member) -> bytes:
        """The bytes of a member, while iterating too."""
        self._file.seek(member.offset)
        return self._file.read(member.size)


def open_shard(address: str) -> Shard:
    """The tar at `address`. Raises FileNotFoundError, another OSError, or `MediaError` for a compressed one."""
    file = open_file(address)
    if file.read(2) == GZIP:
        file.close()
        raise MediaError(f"{address} is compressed: its members cannot be read singly; unpack it to a plain .tar")
    file.seek(0)
    return Shard(address, file)


def find(address: str, name: str) -> tuple[int, int] | None:
    """Offset and bytes of the member `name`; None when the archive has none. Raises as `open_shard`."""
    key = _key_of(address)
    with _LOCK:
        index = _INDEXES.get(key)
        if index is not None:
            _INDEXES.move_to_end(key)
    if index is None:
        with open_shard(address) as shard:
            index = Index.of(list(shard))
    return index.find(name)


def read_member(address: str, name: str, span: tuple[int, int] | None = None) -> bytes:
    """The bytes of a member, found by name where `span` (offset, bytes) does not say where. Raises OSError."""
    found = span or find(address, name)
    if found is None:
        raise FileNotFoundError(f"{address} has no member {name}")
    content = read_range(address, *found)
    if len(content) < found[1]:
        raise OSError("truncated: the tar ends within the picture")
    return content


def _key_of(address: str) -> _Key:
    return address, () if is_url(address) else size_and_stamp(address)[1]


def _remember(key: _Key, index: Index) -> None:
    """Keep an index, and let go of the ones that were not used for longest."""
    with _LOCK:
        _INDEXES[key] = index
        _INDEXES.move_to_end(key)
        while len(_INDEXES) > 1 and sum(len(one.keys) for one in _INDEXES.values()) > REMEMBERED:
            _INDEXES.popitem(last=False)


def _key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "little")
