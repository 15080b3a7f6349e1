"""Where things lie in a store. Nothing here touches the disk."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class RunLayout:
    """The files of one run, `<store>/runs/<run_id>/`."""

    folder: Path

    @property
    def run_id(self) -> str:
        """The run's name, which is the name of its folder."""
        return self.folder.name

    @property
    def record(self) -> Path:
        """Spec, versions, model card, dataset, state."""
        return self.folder / "run.json"

    @property
    def progress(self) -> Path:
        """The writer's heartbeat."""
        return self.folder / "progress.json"

    @property
    def suspects(self) -> Path:
        """The ranked list of suspects; replaced as a whole."""
        return self.folder / "suspects.parquet"

    @property
    def faithfulness(self) -> Path:
        """The results of evaluating the explanations; replaced as a whole."""
        return self.folder / "faithfulness.parquet"

    @property
    def faithfulness_lock(self) -> Path:
        """Held (flock) while new results are put beside those that are there."""
        return self.folder / "faithfulness.lock"

    @property
    def suspects_lock(self) -> Path:
        """Held (flock) while suspects are looked for."""
        return self.folder / "suspects.lock"

    @property
    def lock(self) -> Path:
        """Held (flock) by the one process that writes."""
        return self.folder / "lock"

    @property
    def parts(self) -> Path:
        """Committed Parquet parts, each with its manifest."""
        return self.folder / "parts"

    @property
    def segments(self) -> Path:
        """Sealed DuckDB files, each with its manifest."""
        return self.folder / "segments"

    def part(self, index: int) -> Path:
        """Parquet file of one part."""
        return self.parts / f"{index:05d}.parquet"

    def part_manifest(self, index: int) -> Path:
        """Manifest of one part; its existence means that the part is committed."""
        return self.parts / f"{index:05d}.json"

    def segment(self, number: int) -> Path:
        """DuckDB file of one segment."""
        return self.segments / f"{number:04d}.duckdb"

    def segment_manifest(self, number: int) -> Path:
        """Manifest of one segment; its existence means that the segment is sealed."""
        return self.segments / f"{number:04d}.json"


@dataclass(frozen=True)
class StoreLayout:
    """The files of a store."""

    root: Path

    @property
    def header(self) -> Path:
        """`{"schema_version": N}`."""
        return self.root / "store.json"

    @property
    def lock(self) -> Path:
        """Held while the store is made or migrated."""
        return self.root / "store.lock"

    @property
    def runs(self) -> Path:
        """One folder per run."""
        return self.root / "runs"

    def run(self, run_id: str) -> RunLayout:
        """The files of one run."""
        return RunLayout(self.runs / run_id)
