"""Which runs can be compared, and the comparison itself, made once for everybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import data
from dashboard.data import Row, Run
from storage import StoreError
from storage.compare import Comparison, compare, same_data, shared_targets


@dataclass(frozen=True)
class Candidate:
    """Another run, and whether it is of the very same dataset."""

    name: str
    same: bool
    about: str


def candidates(run: Run, rows: Sequence[Row]) -> list[Candidate]:
    """All other runs of the store that can be read, those of the same dataset first, then the newest."""
    found = []
    for row in rows:
        if row["run"] == run.id or row["state"] == "unreadable":
            continue
        try:
            record = data.record(run.store, str(row["run"]))
        except StoreError:
            continue
        about = ", ".join(str(row[name]) for name in ("model", "method", "target") if row[name])
        found.append(Candidate(str(row["run"]), same_data(run.record, record), about))
    return sorted(found, key=lambda one: not one.same)


def target_of(a: Run, b: Run, target: str, modality: str) -> tuple[str, str] | None:
    """The chosen target and modality, or the first that both runs explained; None when there is none."""
    known = shared_targets(a.reader, b.reader)
    return (target, modality) if (target, modality) in known else next(iter(known), None)


@dataclass(frozen=True)
class Opened:
    """A comparison with its answers cached. ``within`` is the name of a set of samples of A, or empty."""

    a: Run
    b: Run
    comparison: Comparison
    key: tuple[str, ...]
    within: str = ""

    def summary(self, threshold: float) -> Row:
        """See ``Comparison.summary``."""
        return cast(Row, _ask(self.key, "summary", (threshold, self.within), self.comparison))

    def page(self, name: str, page: int, size: int, threshold: float) -> list[Row]:
        """See ``Comparison.page``."""
        return cast("list[Row]", _ask(self.key, "page", (name, page, size, threshold, self.within), self.comparison))

    def histogram(self, column: str, bins: int) -> list[Row]:
        """See ``Comparison.histogram``."""
        return cast("list[Row]", _ask(self.key, "histogram", (column, bins, self.within), self.comparison))

    def plane(self, column: str, bins: int) -> NDArray[np.int64]:
        """See ``Comparison.plane``."""
        return cast("NDArray[np.int64]", _ask(self.key, "plane", (column, bins, self.within), self.comparison))


def comparison(a: Run, b: Run, target: str, modality: str, ids: NDArray[np.int64] | None) -> Opened:
    """The comparison of two runs as they are now; ``ids`` restricts it to some samples of A. Raises StoreError."""
    versions = [(run.id, run.record.created_at, run.reader.version) for run in (a, b)]
    key = (str(a.store), *versions[0], *versions[1], target, modality)
    made = _compared(key, target, modality, a.reader, b.reader)
    return Opened(a, b, made, key, "" if ids is None else made.keep(ids))


@st.cache_resource(show_spinner="Comparing the runs", max_entries=4)
def _compared(key: tuple[str, ...], target: str, modality: str, _a: Any, _b: Any) -> Comparison:
    return compare(_a, _b, target, modality)


@st.cache_data(show_spinner=False, max_entries=256)
def _ask(key: tuple[str, ...], name: str, arguments: tuple[Any, ...], _comparison: Comparison) -> Any:
    return getattr(_comparison, name)(*arguments)
