"""Stores on a real disk, and a folder that cannot be written even by root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage import RunReader, Store
from tests.storage import audit


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return audit.new_store(tmp_path / "audits")


def _fill(store: Store, run: str, seal_after: tuple[int, ...], parts: int) -> None:
    with store.writer(run, audit.record(parts * audit.PART_SAMPLES)) as writer:
        for index in range(parts):
            audit.commit(writer, index)
            if index in seal_after:
                writer.seal()
        writer.finish("finished")


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One store for tests that only read: the same audit unsealed, sealed, and half and half."""
    store = audit.new_store(tmp_path_factory.mktemp("shared") / "audits")
    for run, seal_after in (("tail", ()), ("sealed", (3,)), ("mixed", (0, 2))):
        _fill(store, run, seal_after, parts=4)
    return store


@pytest.fixture(scope="session", params=["tail", "sealed", "mixed"])
def reader(request: pytest.FixtureRequest, shared_store: Store) -> Iterator[RunReader]:
    """A reader of the same 64 samples, in each state a run can be in."""
    with shared_store.reader(request.param) as reader:
        yield reader


def mounted(*arguments: str) -> bool:
    """Whether this machine lets the tests mount."""
    command = ["mount", *arguments]
    return os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """`small_disk("2m")`: a disk of this size; calling it again changes the size."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = False

    def sized(size: str) -> Path:
        nonlocal made
        remount = ["-o", f"remount,size={size}"] if made else ["-t", "tmpfs", "-o", f"size={size}", "tmpfs"]
        if not mounted(*remount, str(disk)):
            pytest.skip("needs root and the right to mount a small disk")
        made = True
        return disk

    yield sized
    if made:
        subprocess.run(["umount", "-l", str(disk)], check=False)


@pytest.fixture
def made_read_only() -> Iterator[Callable[[Path], None]]:
    """Makes a folder read-only for everyone: by its mode, and for root by a read-only mount."""
    mounts: list[Path] = []
    modes: list[Path] = []

    def lock(folder: Path) -> None:
        if os.geteuid() != 0:
            for path in (folder, *(p for p in folder.rglob("*") if p.is_dir())):
                path.chmod(0o555)
                modes.append(path)
            return
        if not mounted("--bind", str(folder), str(folder)):
            pytest.skip("root may write everywhere, and this machine allows no read-only mount")
        mounts.append(folder)
        if not mounted("-o", "remount,ro,bind", str(folder)):
            pytest.skip("root may write everywhere, and this machine allows no read-only mount")

    yield lock
    for folder in mounts:
        subprocess.run(["umount", "-l", str(folder)], check=False)
    for path in modes:
        path.chmod(0o755)
