"""What the pages read: one root reader per state of a run, fresh cursors per query, small results cached.

The readers (``st.cache_resource``) are shared by all sessions; storage opens a fresh cursor for every
query, which is what makes that safe. A run that grows gets a new reader, and a page that is being drawn
keeps the one it began with: all its numbers and rows are of one moment. Only small results go into
``st.cache_data``; their key holds ``reader.version``, so a growing run is never read from an old answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import streamlit as st
from numpy.typing import NDArray

import storage
from storage import (
    ColumnInfo,
    Following,
    Mirror,
    Newest,
    Progress,
    RunReader,
    RunRecord,
    SampleQuery,
    Store,
    Suspects,
    queries,
)
from storage.progress import read_progress
from storage.queries.evidence import deletion_checks

Row = dict[str, Any]


@st.cache_resource(show_spinner=False, max_entries=4)
def open_store(path: str) -> Store:
    """The store in a folder. Raises StoreError when there is none."""
    return Store.open(path)


@st.cache_resource(show_spinner="Copying the store to this machine", on_release=lambda following: following.stop())
def follow(address: str) -> Following:
    """Keep the mirror of the store at a URL up to date, once per server."""
    return Following(Mirror(address))


@st.cache_resource(show_spinner=False, max_entries=64, on_release=lambda newest: newest.close())
def _newest(path: str, run: str, created_at: str) -> Newest:
    return Newest(open_store(path).layout_of(run))


def close_readers() -> None:
    """Let go of every run. A process that ends with one open can be aborted by the threads of DuckDB."""
    _newest.clear()


def runs(path: Path) -> list[Row]:
    """One row per run, newest first; empty when there is no store yet. Raises StoreTooNew."""
    if not path.is_dir() or not any(path.iterdir()):
        return []
    return storage.list_runs(open_store(str(path)))


def suspect_counts(path: Path, run: str) -> dict[str, int] | None:
    """How many suspects a run has, how many are verified and flagged; None when they were never looked for."""
    layout = open_store(str(path)).layout_of(run)
    try:
        stat = layout.suspects.stat()
    except OSError:
        return None
    return _suspect_counts(str(layout.suspects), stat.st_mtime_ns, stat.st_size, layout)


@st.cache_data(show_spinner=False, max_entries=256)
def _suspect_counts(path: str, changed: int, size: int, _layout: Any) -> dict[str, int] | None:
    return storage.count_suspects(_layout)


def record(path: Path, run: str) -> RunRecord:
    """run.json of one run, read now."""
    return open_store(str(path)).record(run)


@dataclass(frozen=True)
class Run:
    """One run as the pages see it: its record, and queries with cached answers."""

    store: Path
    record: RunRecord
    reader: RunReader

    @classmethod
    def open(cls, store: Path, run: str) -> Run:
        """The run with everything that was committed until now. Raises UnknownRun."""
        now = record(store, run)
        return cls(store, now, _newest(str(store), run, now.created_at).reader())

    @property
    def id(self) -> str:
        """The name of the run."""
        return self.record.run_id

    @property
    def root(self) -> Path:
        """The folder that the uris of the samples are relative to."""
        return Path(str(self.record.dataset.get("root") or "."))

    @property
    def grid(self) -> tuple[int, int] | None:
        """(rows, columns) of the image tokens, when the model card tells."""
        grid = self.record.model.get("grid")
        return (int(grid[0]), int(grid[1])) if grid else None

    @property
    def has_pictures(self) -> bool:
        """Whether the samples have pictures; a text classifier's have none."""
        return self.record.model.get("modalities") != ["text"]

    @property
    def class_names(self) -> list[str] | None:
        """The names of the classes by index, when the model or the dataset knows them."""
        names = self.record.model.get("class_names") or self.record.dataset.get("class_names")
        return [str(n) for n in names] if names else None

    @property
    def has_pairs(self) -> bool:
        """Whether the samples are pairs of a picture and a text, explained by their score."""
        return any(target.startswith("clip-") for target in self.targets())

    @property
    def has_words(self) -> bool:
        """Whether relevancy lies on words."""
        return any("text" in modalities for modalities in self.targets().values())

    @property
    def has_features(self) -> bool:
        """Whether samples can be compared by what the model looked at."""
        return bool(self.reader.snapshot.contents.feature_widths)

    def suspects(self) -> Suspects:
        """The suspects as they are on disk now; empty when they were never looked for."""
        try:
            stat = self.reader.run.suspects.stat()
        except OSError:
            return Suspects()
        return _suspects(str(self.store), self.id, self.record.created_at, stat.st_mtime_ns, stat.st_size, self.reader)

    @property
    def method(self) -> str:
        """The method that made the maps."""
        return str(self.record.spec.get("method") or "")

    def faithfulness(self) -> list[Row]:
        """The evaluation results as they are on disk now; empty when the run was never evaluated. Raises StoreError."""
        try:
            stat = self.reader.run.faithfulness.stat()
        except OSError:
            return []
        layout = self.reader.run
        return _faithfulness(str(self.store), self.id, self.record.created_at, stat.st_mtime_ns, stat.st_size, layout)

    def progress(self) -> Progress:
        """How far the run is: the counts as of when it was opened, the speed and the time left as of now."""
        return read_progress(self.reader.run, self.record, self.reader.snapshot)

    def targets(self) -> dict[str, list[str]]:
        """The explained targets, 'predicted' first, detections in order, each with its modalities (image, text)."""
        found: dict[str, list[str]] = {}
        for row in sorted(self._ask("targets"), key=lambda row: _place(row["target"])):
            found.setdefault(row["target"], []).append(row["modality"])
        return {target: sorted(modalities) for target, modalities in found.items()}

    def columns(self) -> dict[str, ColumnInfo]:
        """Every column that can filter, by name; columns without any value are left out."""
        return {name: info for name, info in self._ask("columns").items() if info.filled or name == "sample_id"}

    def count(self, query: SampleQuery) -> int:
        """How many samples a query has."""
        return cast(int, self._ask("count", query))

    def page(self, query: SampleQuery, page: int, size: int, columns: tuple[str, ...] | None = None) -> list[Row]:
        """The rows of a page (from 1): all columns of samples and explanations, or those named, the others None."""
        return cast("list[Row]", self._ask("page", query, page, size, columns))

    def histogram(self, query: SampleQuery, column: str, bins: int) -> list[Row]:
        """Bins {low, high, n} of a number column."""
        return cast("list[Row]", self._ask("histogram", query, column, bins))

    def confusion(self, query: SampleQuery) -> list[Row]:
        """{label, predicted, n} of every pair that occurs."""
        return cast("list[Row]", self._ask("confusion", query))

    def class_summary(self, query: SampleQuery) -> list[Row]:
        """One row per label: n, correct, accuracy, mean_confidence and the mean of every summary."""
        return cast("list[Row]", self._ask("class_summary", query))

    def detections(self) -> list[Row]:
        """{predicted, n, samples, mean_confidence} per class that a detector found, the most frequent first."""
        return cast("list[Row]", self._ask("detections"))

    def category_values(self, column: str) -> list[Row]:
        """{value, n}, the most frequent first."""
        return cast("list[Row]", self._ask("category_values", column))

    def number_range(self, column: str, target: str | None) -> tuple[float, float] | None:
        """Lowest and highest value of a column; of a target's, where targets have their own."""
        return cast("tuple[float, float] | None", self._ask("number_range", column, target))

    def sample(self, sample_id: int) -> Row:
        """{'sample': its columns, 'explanations': one row per target and modality}."""
        return cast(Row, self._ask("sample", sample_id))

    def neighbours(self, query: SampleQuery, sample_id: int) -> tuple[int | None, int | None, int | None, int]:
        """(previous id, next id, position from 1, total) of a sample within a query."""
        return cast("tuple[int | None, int | None, int | None, int]", self._ask("neighbours", query, sample_id))

    def similar(self, sample_id: int, target: str, modality: str, limit: int) -> list[Row]:
        """{sample_id, similarity} of the nearest other samples, most similar first."""
        return cast("list[Row]", self._ask("similar", sample_id, target, modality, limit))

    def maps(self, keys: list[tuple[int, str]], modality: str) -> Mapping[tuple[int, str], NDArray[np.floating]]:
        """Raw relevancy per (sample_id, target); not cached here, the painted pictures are."""
        return self.reader.maps(keys, modality)

    def deletion_checks(self) -> list[Row]:
        """The falls of the score that the job measured beside random; empty unless it was made with --evidence."""
        return cast("list[Row]", self._ask("deletion_checks"))

    def failures(self, size: int = 1000) -> list[Row]:
        """The first skipped samples, with the reason."""
        return cast("list[Row]", self._ask("failures", 1, size))

    def failure_counts(self) -> list[Row]:
        """{reason, n}, the most frequent first."""
        return cast("list[Row]", self._ask("failure_counts"))

    def _ask(self, name: str, *arguments: Any) -> Any:
        return _ask(str(self.store), self.id, self.reader.version, name, arguments, self.reader)


def _place(target: str) -> tuple[bool, int]:
    """What was predicted first, detections by their number; the others stay as they are."""
    number = target.removeprefix("detection:")
    return target not in ("predicted", "answer"), int(number) if number.isdecimal() else -1


def failure_counts(reader: RunReader) -> list[Row]:
    """{reason, n} over all skipped samples, the most frequent first."""
    return reader.query("SELECT reason, count(*) AS n FROM failures GROUP BY reason ORDER BY n DESC, reason LIMIT 200")


QUERIES: dict[str, Callable[..., Any]] = {
    "failure_counts": failure_counts,
    "deletion_checks": deletion_checks,
    **{
        name: getattr(queries, name)
        for name in (
            "columns",
            "count",
            "page",
            "histogram",
            "confusion",
            "class_summary",
            "detections",
            "category_values",
            "number_range",
            "sample",
            "neighbours",
            "similar",
            "targets",
            "failures",
        )
    },
}


@st.cache_resource(show_spinner=False, max_entries=16)
def _suspects(store: str, run: str, created_at: str, changed: int, size: int, _reader: RunReader) -> Suspects:
    return _reader.suspects()


@st.cache_data(show_spinner=False, max_entries=32)
def _faithfulness(store: str, run: str, created_at: str, changed: int, size: int, _layout: Any) -> list[Row]:
    return storage.read_faithfulness(_layout)


@st.cache_data(show_spinner=False, max_entries=512)
def _ask(store: str, run: str, version: str, name: str, arguments: tuple[Any, ...], _reader: RunReader) -> Any:
    return QUERIES[name](_reader, *arguments)
