"""The Parquet manifest that `features` writes and `run` reads: all columns of the dataset, features and boxes.

Finished groups of rows are kept beside it until all are there, so a killed command goes on where it was; the manifest
appears under its name when it is complete.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.errors import JobError
from jobs.extract.detector import Found
from jobs.readers import Dataset
from storage.atomic import write_bytes
from storage.media import is_url, joined

ROWS_PER_GROUP = 32  # what a reader of one row must decode: about 10 MB with 36 regions of 2048 numbers
REFERENCES = ("label", "text", "split", "mask")
MADE_BY = b"made_by"

Failures = list[dict[str, Any]]


class ManifestParts:
    """Groups of rows on their way to the manifest `out`.

    `width` is that of a feature vector; `key` says what makes the numbers: groups made by another key are thrown away.
    A group is committed when its JSON file is there.
    """

    def __init__(self, out: Path, dataset: Dataset, width: int, key: dict[str, Any]) -> None:
        self.out = out
        self.dataset = dataset
        self.key = json.dumps(key, sort_keys=True).encode()
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
        self.folder = out.with_name(f"{out.name}.parts")

    def open(self) -> None:
        """Make the folder of the groups, or take over what an interrupted call with the same key left there."""
        made_by = self.folder / "key.json"
        try:
            if made_by.is_file() and made_by.read_bytes() == self.key:
                return
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            write_bytes(made_by, self.key)
        except OSError as error:
            raise JobError(f"--out {self.out} cannot be written: {error.strerror}") from error

    def finished(self) -> tuple[int, Failures] | None:
        """Rows and failures of a manifest that the same key made before, or None."""
        try:
            file = pq.ParquetFile(self.out)
        except (OSError, pa.ArrowException):
            return None
        made_by = (file.schema_arrow.metadata or {}).get(MADE_BY, b"{}")
        found = json.loads(made_by)
        return (file.metadata.num_rows, found["failures"]) if found.get("key") == self.key.decode() else None

    def done(self, group: int) -> tuple[int, Failures] | None:
        """Rows and failures of a committed group, or None."""
        try:
            found = json.loads(self._file(group, "json").read_bytes())
        except (OSError, ValueError):
            return None
        return found["rows"], found["failures"]

    def commit(self, group: int, rows: list[tuple[int, Found]], failures: Failures) -> None:
        """Keep a group: dataset rows with their regions, and those that failed."""
        try:
            if rows:
                table = pa.Table.from_pylist([self._row(*row) for row in rows], schema=self.schema)
                sink = pa.BufferOutputStream()
                pq.write_table(table, sink, compression="zstd")
                write_bytes(self._file(group, "parquet"), memoryview(sink.getvalue()))
            write_bytes(self._file(group, "json"), json.dumps({"rows": len(rows), "failures": failures}).encode())
        except OSError as error:
            raise JobError(
                f"--out {self.out} cannot be written: {error.strerror}; "
                f"what is finished is kept in {self.folder.name}, run the same command to go on"
            ) from error

    def publish(self, groups: int) -> None:
        """Put all groups together under the manifest's name, and remove them."""
        failures = [failure for group in range(groups) for failure in (self.done(group) or (0, []))[1]]
        made_by = json.dumps({"key": self.key.decode(), "failures": failures})
        temporary = self.out.with_name(f"{self.out.name}.{os.getpid()}.tmp")
        try:
            with pq.ParquetWriter(temporary, self.schema.with_metadata({MADE_BY: made_by}), compression="zstd") as out:
                for group in range(groups):
                    if self._file(group, "parquet").is_file():
                        out.write_table(pq.read_table(self._file(group, "parquet"), use_threads=False))
            os.replace(temporary, self.out)
        except OSError as error:
            raise JobError(
                f"--out {self.out} cannot be written: {error.strerror}; run the same command again"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        self.discard()

    def discard(self) -> None:
        """Remove the groups."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, group: int, kind: str) -> Path:
        return self.folder / f"{group:06d}.{kind}"

    def _row(self, row: int, found: Found) -> dict[str, Any]:
        own = {name: getattr(self.dataset, name)[row].as_py() for name in self.names}
        own |= {name: column[row].as_py() for name, column in self.metadata.items()}
        if own.get("mask") is not None:
            own["mask"] = self._relative(own["mask"])
        image = self._relative(self.dataset.picture(row) or "")
        return {"image": image, **own, "features": list(found.features), "boxes": list(found.boxes)}

    def _relative(self, path: str) -> str:
        """A path of the dataset as seen from the manifest's own folder; a URL as it is."""
        address = joined(str(self.dataset.root), path)
        return address if is_url(address) else os.path.relpath(address, self.out.parent)


def empty(found: Found) -> bool:
    """Whether there is no usable region."""
    return not len(found.features) or not np.isfinite(found.features).all() or not np.isfinite(found.boxes).all()
