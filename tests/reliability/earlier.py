"""Stores of every schema that there was, as their own software made them; unpacked into a folder."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

KEPT = Path(__file__).resolve().parents[1] / "storage"
HALFWAY = KEPT / "halfway_v1_to_v3.tar.xz"  # interrupted jobs of schema 1 to 3; later archives hold their own
FIRST_REVIEWS = "reviews_first"  # in HALFWAY: a store's folder with the reviews.db of the first software that wrote one
VERSIONS = sorted(int(path.name.split(".")[0][7:]) for path in KEPT.glob("store_v*.tar.xz"))


@dataclass(frozen=True)
class Halfway:
    """An interrupted job, and what it was reading."""

    store: Path
    data: Path
    model: str


def unpacked(version: int, folder: Path) -> Path:
    """The kept store of a schema version."""
    with tarfile.open(KEPT / f"store_v{version}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / f"store_v{version}"


def halfway(version: int, folder: Path) -> Halfway:
    """A job that was interrupted under a schema version."""
    if version <= 3:
        with tarfile.open(HALFWAY) as archive:
            archive.extractall(folder, filter="data")
        store = folder / f"halfway_v{version}"
    else:
        store = unpacked(version, folder)
    return Halfway(store, folder / "photos", f"timm:local-dir:{folder / 'vit'}")
