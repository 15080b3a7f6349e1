"""WebDataset shards for tests, written with the standard library's tarfile."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def encoded(seed: int, size: tuple[int, int] = (40, 48), kind: str = "PNG") -> bytes:
    """A picture of noise, [height, width] = size, as the bytes of a file."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    """An uncompressed tar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def write_shards(folder: Path, shards: int = 2, each: int = 3) -> Path:
    """`train-000000.tar`, ...: pictures with `.cls` (cat or dog), `.txt` and `.json`."""
    for shard in range(shards):
        members: dict[str, bytes] = {}
        for i in range(each):
            number = shard * each + i
            members[f"{number:04d}.png"] = encoded(number)
            members[f"{number:04d}.cls"] = (b"cat", b"dog")[number % 2]
            members[f"{number:04d}.txt"] = f"photo {number}".encode()
            members[f"{number:04d}.json"] = (
                f'{{"camera_id": {number}, "night": {str(number % 2 == 0).lower()}}}'.encode()
            )
        write_tar(folder / f"train-{shard:06d}.tar", members)
    return folder
