"""The copy of a store on this machine, and how it and the store elsewhere come to hold the same.

DuckDB reads files, and readers expect that a manifest is there only when its data are. So every file is copied whole,
data before manifests before records; what goes, goes in the opposite order. A kill at any moment therefore leaves both
sides as a killed writer leaves a store.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from storage.atomic import TEMPORARY, read_json, write_bytes
from storage.errors import StoreError
from storage.media.files import filesystem, mark_of, scheme_of
from storage.remote.index import Index, State
from storage.remote.patience import patiently

CACHE = "RELEVANCY_AUDIT_CACHE"
ADDRESS, HEADER = ".mirror-of", "store.json"
MANIFEST = re.compile(r"runs/[^/]+/(parts|segments)/(\d+)\.json")
WHOLE_OBJECTS = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "memory"})  # a file appears there when it is whole
# Later ones speak of earlier ones.
ORDER = (
    re.compile(r"runs/[^/]+/(parts/\d+\.parquet|segments/\d+\.duckdb)"),
    re.compile(r"runs/[^/]+/(parts/\d+\.json|segments/\d+\.json)"),
    re.compile(r"runs/[^/]+/(suspects|faithfulness)\.parquet"),
    re.compile(r"runs/[^/]+/(progress|run)\.json"),
    re.compile(r"store\.json"),
)


class Mirror:
    """A store at a URL (s3://bucket/audits) and the folder of this machine that mirrors it.

    Folders lie under $RELEVANCY_AUDIT_CACHE, by default ~/.cache/relevancy-audit. Verdicts and locks stay on this
    machine. One process should write a run at a time: object stores have no locks that this could rely on.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        name = hashlib.sha256(self.address.encode()).hexdigest()[:16]
        self.folder = _cache() / "stores" / name
        self._index = Index(self.folder / ".mirror.json")

    def pull(self) -> int:
        """Bring what is new or changed at the URL to this machine; returns how many files. Raises StoreError.

        A file that was changed here and not sent yet stays as it is.
        """
        with self._trouble("read"), self._locked():
            system, root = filesystem(self.address, kinds=None)
            there = patiently(partial(_listing, system, root))
            known = self._index.read()
            if known and HEADER not in there:  # a bucket that was emptied or moved must not empty this machine
                raise StoreError(
                    f"the store {self.address} has gone (no {HEADER} there); the copy in {self.folder} was left as it "
                    "is"
                )
            count = sum([self._fetch(system, root, name, there[name], known) for name in _ordered(there)])
            for name in reversed(_ordered(set(known) - set(there))):
                if _here(self.folder / name) == known[name].here:
                    (self.folder / name).unlink(missing_ok=True)
                del known[name]
            self._index.write(known)
            return count

    def _fetch(self, system: Any, root: str, name: str, there: list[str], known: dict[str, State]) -> bool:
        """Bring one file, if the one here is not that one already, or newer."""
        path, before = self.folder / name, known.get(name)
        here = _here(path)
        if before is not None and (before.there == there or (here is not None and before.here != here)):
            return False  # nothing new, or changed (or removed) here since: `push` will tell
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")
        try:
            patiently(partial(system.get_file, f"{root}/{name}", str(temporary)))
            os.replace(temporary, path)
        except FileNotFoundError:  # replaced by a segment since the listing: the next call brings that
            return False
        finally:
            temporary.unlink(missing_ok=True)
        known[name] = State(there, _here(path))
        return True

    def push(self, run_id: str | None = None) -> int:
        """Send what is new or changed here of a run, and remove there what it removed; returns how many files.

        Without a run the header alone, which shows whether the URL can be written. What fails is tried again a few
        times. Raises StoreError, which says how many finished parts wait here; the next `push` sends them.
        """
        waiting = partial(self._waiting_text, run_id) if run_id else None
        with self._trouble("written", waiting), self._locked():
            system, root = filesystem(self.address, kinds=None)
            known = self._index.read()
            prefix = f"runs/{run_id}/"
            mine = _ordered({HEADER, *(_names_in(self.folder, prefix) if run_id else ())})
            sent: dict[str, list[int]] = {}
            try:
                for name in mine:
                    here = _here(self.folder / name)
                    if here is not None and (name not in known or known[name].here != here):
                        patiently(partial(self._send, system, root, name))
                        sent[name] = here
                gone = {name for name in known if run_id and name.startswith(prefix)} - set(mine)
                for name in reversed(_ordered(gone)):
                    patiently(partial(_remove, system, f"{root}/{name}"))
                    del known[name]
            finally:
                there = patiently(partial(_listing, system, root))
                known |= {name: State(there[name], here) for name, here in sent.items() if name in there}
                self._index.write(known)
            return len(sent)

    def _send(self, system: Any, root: str, name: str) -> None:
        path, target = self.folder / name, f"{root}/{name}"
        system.makedirs(target.rpartition("/")[0], exist_ok=True)
        try:
            if scheme_of(self.address) in WHOLE_OBJECTS:
                system.put_file(str(path), target)
            else:
                system.put_file(str(path), target + TEMPORARY)
                system.mv(target + TEMPORARY, target)
        except FileNotFoundError:
            if path.exists():
                raise  # else a segment has replaced it in between

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process or thread at a time; the others wait."""
        if not (self.folder / ADDRESS).exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_bytes(self.folder / ADDRESS, self.address.encode())
        handle = os.open(self.folder / "mirror.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    @contextmanager
    def _trouble(self, done: str, state: Callable[[], str] | None = None) -> Iterator[None]:
        """Whatever a file system raises, as one line; `state` says what was left behind."""
        try:
            yield
        except StoreError:
            raise
        except Exception as error:  # every backend has errors of its own
            text = " ".join(str(error).split())[:200] or type(error).__name__
            left = state() if state else f"the copy in {self.folder} is whole, run the same command again"
            raise StoreError(f"the store {self.address} cannot be {done} ({text}); {left}") from error

    def _waiting_text(self, run_id: str) -> str:
        count = len(self.waiting(run_id))
        return (
            f"{count} finished part{'' if count == 1 else 's'} of {run_id!r} wait{'s' if count == 1 else ''} in "
            f"{self.folder}: run the same command again to send what is missing there, nothing is computed twice"
        )

    def waiting(self, run_id: str) -> set[int]:
        """Parts that are finished here and were not sent yet, be it as files of their own or in a segment."""
        known, prefix = self._index.read(), f"runs/{run_id}/"
        mine = _names_in(self.folder, prefix)
        missing = {name for name in mine if name not in known or known[name].here != _here(self.folder / name)}
        return self._parts_of(missing) - self._parts_of({name for name in known if name.startswith(prefix)} - missing)

    def _parts_of(self, names: Collection[str]) -> set[int]:
        """The parts that the manifests among some files speak of."""
        found: set[int] = set()
        for name in names:
            match = MANIFEST.fullmatch(name)
            if match and match[1] == "parts":
                found.add(int(match[2]))
            elif match:
                with suppress(FileNotFoundError):
                    found |= set(read_json(self.folder / name)["parts"])
        return found


def address_of(folder: Path) -> str:
    """What names a store to people and commands: the URL that a folder mirrors, else the folder."""
    try:
        return (folder / ADDRESS).read_text()
    except OSError:
        return str(folder)


def _cache() -> Path:
    return Path(os.environ.get(CACHE) or Path.home() / ".cache" / "relevancy-audit").expanduser().absolute()


def _listing(system: Any, root: str) -> dict[str, list[str]]:
    """The files of the store at `root`, with a mark of each that changes with its bytes."""
    system.invalidate_cache()
    prefix = system._strip_protocol(root).rstrip("/") + "/"
    try:
        found = system.find(root, detail=True)
    except FileNotFoundError:
        return {}
    names = {path.removeprefix(prefix): info for path, info in found.items() if path.startswith(prefix)}
    return {name: _mark(info) for name, info in names.items() if _rank(name) is not None}


def _mark(info: dict[str, Any]) -> list[str]:
    return [str(info.get("size")), mark_of(info)]


def _here(path: Path) -> list[int] | None:
    """Bytes and time of a file of this machine."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _names_in(folder: Path, prefix: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in (folder / prefix).rglob("*") if path.is_file()}


def _rank(name: str) -> int | None:
    return next((rank for rank, pattern in enumerate(ORDER) if pattern.fullmatch(name)), None)


def _ordered(names: Any) -> list[str]:
    """The files of a store among `names`, data first, records last."""
    ranked = [(_rank(name), name) for name in names]
    return [name for _, name in sorted((rank, name) for rank, name in ranked if rank is not None)]


def _remove(system: Any, path: str) -> None:
    with suppress(FileNotFoundError):
        system.rm_file(path)
