"""The columns a run has, from its record."""

from __future__ import annotations

from storage import schema
from storage.columns import Column
from storage.reader import RunReader


def run_sample_columns(reader: RunReader) -> list[Column]:
    """Columns of the run's `samples`: fixed ones, then its metadata."""
    return schema.sample_columns(reader.record.metadata)


def run_explanation_columns(reader: RunReader) -> list[Column]:
    """Columns of the run's `explanations` besides sample_id."""
    return schema.explanation_columns(reader.record.metadata)
