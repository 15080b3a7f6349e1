"""The columns a run has, from its record."""

from __future__ import annotations

from storage.columns import EXPLANATION_COLUMNS, Column
from storage.reader import RunReader
from storage.schema import sample_columns


def run_sample_columns(reader: RunReader) -> list[Column]:
    """Columns of the run's `samples`: fixed ones, then its metadata."""
    return sample_columns(reader.record.metadata)


def explanation_columns() -> list[Column]:
    """Columns of `explanations` besides sample_id."""
    return list(EXPLANATION_COLUMNS)
