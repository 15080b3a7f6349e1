"""The Parquet manifest that `features` writes and `run` reads: all columns of the dataset, features and boxes.

It appears under its name when it is complete, so a killed command leaves no half of one.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.errors import JobError
from jobs.extract.detector import Found
from jobs.readers import Dataset

ROWS_PER_GROUP = 32  # what a reader of one row must decode: about 10 MB with 36 regions of 2048 numbers
REFERENCES = ("label", "text", "split", "mask")


class ManifestWriter:
    """Context manager: `add` rows, and the file is there at the end. `width` is that of a feature vector."""

    def __init__(self, out: Path, dataset: Dataset, width: int) -> None:
        self.out = out
        self.dataset = dataset
        self.names = [name for name in REFERENCES if getattr(dataset, name) is not None]
        self.metadata = {name: column for name, column in dataset.metadata.items() if name not in ("features", "boxes")}
        self.schema = pa.schema(
            [
                pa.field("image", pa.string()),
                *(pa.field(name, pa.string()) for name in self.names),
                *(pa.field(name, column.type) for name, column in self.metadata.items()),
                pa.field("features", pa.list_(pa.list_(pa.float32(), width))),
                pa.field("boxes", pa.list_(pa.list_(pa.float32(), 4))),
            ]
        )
        self.temporary = out.with_name(f"{out.name}.{os.getpid()}.tmp")
        self.waiting: list[dict[str, Any]] = []
        self.rows = 0

    def __enter__(self) -> ManifestWriter:
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            self.writer = pq.ParquetWriter(self.temporary, self.schema, compression="zstd")
        except OSError as error:
            raise JobError(f"--out {self.out} cannot be written: {error.strerror}") from error
        return self

    def add(self, row: int, found: Found) -> None:
        """Row `row` of the dataset with its regions."""
        own = {name: getattr(self.dataset, name)[row].as_py() for name in self.names}
        own |= {name: column[row].as_py() for name, column in self.metadata.items()}
        if own.get("mask") is not None:
            own["mask"] = self._relative(own["mask"])
        image = self._relative(self.dataset.picture(row) or "")
        self.waiting.append({"image": image, **own, "features": list(found.features), "boxes": list(found.boxes)})
        self.rows += 1
        if len(self.waiting) == ROWS_PER_GROUP:
            self._flush()

    def _relative(self, path: str) -> str:
        """A path of the dataset as seen from the manifest's own folder."""
        return os.path.relpath(self.dataset.root / path, self.out.parent)

    def _flush(self) -> None:
        if self.waiting:
            self.writer.write_table(pa.Table.from_pylist(self.waiting, schema=self.schema))
            self.waiting = []

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self._flush()
            self.writer.close()
            if kind is None and self.rows:
                os.replace(self.temporary, self.out)
        except OSError as problem:
            if error is None:
                raise JobError(f"--out {self.out} cannot be written: {problem.strerror}; nothing was kept") from problem
        finally:
            self.temporary.unlink(missing_ok=True)


def empty(found: Found) -> bool:
    """Whether there is no usable region."""
    return not len(found.features) or not np.isfinite(found.features).all() or not np.isfinite(found.boxes).all()
