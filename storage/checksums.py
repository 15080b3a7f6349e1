"""Whether the bytes on disk are those that were written."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from storage.layout import RunLayout

# what DuckDB says of a block whose own checksum is wrong; the block begins with the stored one
_BLOCK = re.compile(r"Corrupt database file: .* stored checksum (\d+) in block at location (\d+)")


def checksum(content: bytes | memoryview) -> str:
    """Hash of a part's Parquet file, to notice damage."""
    return "blake2b:" + hashlib.blake2b(content, digest_size=16).hexdigest()


def is_intact(path: Path, expected: str) -> bool:
    """Whether a file has this checksum. Parts never change, so each is read once per process. Raises OSError."""
    status = path.stat()
    return _checksum_of(str(path), status.st_mtime_ns, status.st_size, status.st_ino) == expected


@lru_cache(maxsize=65536)
def _checksum_of(path: str, modified: int, size: int, inode: int) -> str:
    return checksum(Path(path).read_bytes())


def damaged_segment(run: RunLayout, numbers: Iterable[int], said: str) -> str | None:
    """What to do about a damaged segment when DuckDB `said` so while it read one of these; None when it did not."""
    found = _BLOCK.search(said)
    if found is None:
        return None
    stored, place = int(found[1]), int(found[2])
    paths = [run.segment(number) for number in numbers]
    damaged = [path for path in paths if _stored(path, place) == stored]
    return mend(run, damaged[0] if damaged else run.segments, f"the block at byte {place} was changed")


def mend(run: RunLayout, path: Path, why: str) -> str:
    """A line that names a damaged segment and what makes its samples anew."""
    return (
        f"{path} of run {run.run_id!r} is damaged on disk ({why}): delete that file, and run the command of the run "
        "again, which computes its samples anew; everything else is safe"
    )


def _stored(path: Path, place: int) -> int | None:
    try:
        with path.open("rb") as file:
            file.seek(place)
            return int.from_bytes(file.read(8), "little")
    except OSError:
        return None
