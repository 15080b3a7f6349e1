"""Files that are either old or new, never half written, also after a crash or a power cut."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

TEMPORARY = ".tmp"


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable (a rename alone is only in memory)."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # some network file systems cannot sync a folder
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Make a file that somebody else wrote durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Replace `path` by `content`: temporary file, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        with open(temporary, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _plain(value: Any) -> Any:
    """What JSON has no word for: paths, sets, numpy numbers and arrays."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r} cannot be written as JSON")


def plain_json(value: Any) -> Any:
    """The value as it looks after a trip through a JSON file; NaN and infinity become null."""
    return _finite(json.loads(json.dumps(value, default=_plain)))


def _finite(value: Any) -> Any:
    """JSON has no NaN; other readers of the file would stumble over it."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by a JSON document."""
    text = json.dumps(plain_json(value), indent=1, ensure_ascii=False)
    write_bytes(path, text.encode() + b"\n")


def read_json(path: Path) -> Any:
    """The JSON document in `path`; raises OSError or ValueError."""
    return json.loads(path.read_bytes())


def check_writable(folder: Path) -> None:
    """Raises OSError unless a file can be made in `folder`."""
    probe = folder / f"write-test.{os.getpid()}{TEMPORARY}"
    probe.write_bytes(b"")
    sweep_temporary(folder, "write-test.")  # also those of processes that were killed just here


def sweep_temporary(folder: Path, name: str = "") -> int:
    """Remove what killed writers left behind, of one file or of all in a folder; returns how many there were."""
    left = list(folder.glob(f"{name}*{TEMPORARY}*"))
    for path in left:
        if path.is_dir():  # where a killed seal kept what did not fit into memory
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return len(left)
