"""WebDataset shards: uncompressed tars whose members of one name form a sample.

Every tar is walked once, for the names and places of its members and for what stands beside the pictures (`.txt`,
`.cls`, `.json`); pictures are read later, one by one, by `storage.media`.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

import pyarrow as pa

from jobs.errors import JobError
from jobs.readers.dataset import Dataset
from jobs.readers.samples import MOST_BYTES, SIDE, Columns, Sample, add_picture, add_side, is_picture, split_name
from storage.media import is_url
from storage.media.files import size_and_stamp
from storage.media.tars import Member, Shard, open_shard

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
FEW = 3  # names in a message


def refuse_compressed(name: str) -> JobError:
    """The error for an archive whose members cannot be read singly."""
    return JobError(f"{name} is compressed: its pictures cannot be read singly; unpack it to a plain .tar")


class _Reading:
    """What was read of all shards so far."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.uris: list[str] = []
        self.pictures: list[str | None] = []
        self.columns = Columns()
        self.problems: dict[int, str] = {}
        self.passed_over: Counter[str] = Counter()
        self.damaged: list[str] = []
        self.digest = hashlib.sha256()

    def shard(self, address: str) -> None:
        """Read one more tar. Raises `MediaError` for a compressed one, `JobError` for one that cannot be opened."""
        name = _relative(address, self.root)
        try:
            self.digest.update(repr((name, size_and_stamp(address))).encode("utf-8", "surrogateescape"))
            with open_shard(address) as shard:
                samples = self._samples(shard)
                if shard.damaged:
                    self.damaged.append(name)
        except OSError as error:
            raise JobError(f"cannot read {name}: {error.strerror or error}") from error
        for key, sample in samples.items():
            self._add(name, key, sample, dear=is_url(address))

    def _samples(self, shard: Shard) -> dict[str, Sample]:
        samples: dict[str, Sample] = {}
        for member in shard:
            parts = split_name(member.name) if _is_text(member.name) else None
            if parts is None or not (is_picture(parts[1]) or parts[1] in SIDE):
                self.passed_over["members"] += 1
                continue
            sample = samples.setdefault(parts[0], Sample())
            if is_picture(parts[1]):
                self.passed_over["pictures"] += not add_picture(sample, member, parts[1])
            elif member.size > MOST_BYTES:
                sample.problem = f"the .{parts[1]} of the sample is larger than {MOST_BYTES >> 20} MB"
            else:
                add_side(sample, parts[1], shard.read(member))
        return samples

    def _add(self, shard: str, key: str, sample: Sample, *, dear: bool) -> None:
        """One more sample. Where walking a tar again is `dear`, uris say where its members lie."""

        def uri(member: Member) -> str:
            return f"{shard}#{member.offset}+{member.size}/{member.name}" if dear else f"{shard}/{member.name}"

        picture = None if sample.picture is None else uri(sample.picture)
        if sample.problem is not None:
            self.problems[len(self.uris)] = sample.problem
        self.uris.append(picture or f"{shard}/{key}")
        self.pictures.append(picture)
        self.columns.add({**sample.values, **({} if sample.mask is None else {"mask": uri(sample.mask)})})

    def notes(self) -> Iterator[str]:
        """What somebody should know of the shards."""
        if self.passed_over["members"]:
            yield f"passed over {self.passed_over['members']} members of tars that are no picture, .txt, .cls or .json"
        if self.passed_over["pictures"]:
            yield f"passed over {self.passed_over['pictures']} further pictures of samples that have one"
        if self.damaged:
            names = ", ".join(self.damaged[:FEW]) + (", ..." if len(self.damaged) > FEW else "")
            yield f"{len(self.damaged)} tars are damaged or cut off, what lies before that is read: {names}"


def read_shards(data: str, addresses: Sequence[str]) -> Dataset:
    """The samples in the tars at `addresses`, shard by shard in their own order. Raises `JobError` or `MediaError`."""
    others = [address for address in addresses if not address.lower().endswith(".tar")]
    if others:
        if others[0].lower().endswith(COMPRESSED):
            raise refuse_compressed(os.path.basename(others[0]))
        raise JobError(f"--data {data}: {os.path.basename(others[0])} is no .tar; patterns name WebDataset shards")
    root = _root(addresses)
    reading = _Reading(root)
    for address in addresses:
        reading.shard(address)
    if not reading.uris:
        damaged = f" ({len(reading.damaged)} of {len(addresses)} tars are damaged)" if reading.damaged else ""
        raise JobError(f"--data {data}: no samples in {len(addresses)} tars{damaged}: expected x.jpg, x.txt, x.cls")
    return _dataset(reading)


def _dataset(reading: _Reading) -> Dataset:
    columns = reading.columns
    return Dataset(
        root=reading.root if is_url(reading.root) else Path(reading.root),
        kind="shards",
        fingerprint=reading.digest.hexdigest(),
        uris=pa.array(reading.uris, pa.string()),
        label=columns.role("label"),
        text=columns.role("text"),
        split=columns.role("split"),
        mask=columns.role("mask"),
        boxes=columns.role("boxes"),
        pictures=pa.array(reading.pictures, pa.string()) if None in reading.pictures else None,
        metadata=columns.metadata(),
        problems=reading.problems,
        notes=tuple(reading.notes()),
    )


def _root(addresses: Sequence[str]) -> str:
    """The folder that all tars lie in."""
    folders = {address.rpartition("/")[0] for address in addresses}
    if len(folders) == 1:
        return folders.pop() or "/"
    if not is_url(addresses[0]):
        return os.path.commonpath(sorted(folders))
    first, last = (folder.split("/") for folder in (min(folders), max(folders)))
    common = list(takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    if len(common) < len(("scheme:", "", "host")):
        raise JobError(f"{addresses[0]} and {addresses[-1]} lie on different hosts: give shards of one")
    return "/".join(part for part, _ in common)


def _relative(address: str, root: str) -> str:
    return address.removeprefix(root.rstrip("/") + "/")


def _is_text(name: str) -> bool:
    """Whether the name can be stored: in a tar it may be any bytes."""
    return not any("\ud800" <= character <= "\udfff" for character in name)
