"""The store: immutable Parquet parts and sealed DuckDB segments, written by one job, read by anyone."""

from __future__ import annotations

from storage import queries
from storage.errors import (
    RunLocked,
    SpecMismatch,
    StoreError,
    StoreTooNew,
    UnknownColumn,
    UnknownRun,
)
from storage.overview import list_runs, run_row
from storage.parts import parts_table
from storage.progress import Progress
from storage.queries import ColumnInfo, Filter, SampleQuery
from storage.reader import RunReader
from storage.record import RunRecord
from storage.retire import GRACE_SECONDS
from storage.schema import SCHEMA_VERSION, metadata_column_names, part_schema
from storage.store import Store
from storage.suspects import Suspects, read_suspects, suspects_lock, write_suspects
from storage.writer import RunWriter

__all__ = [
    "GRACE_SECONDS",
    "SCHEMA_VERSION",
    "ColumnInfo",
    "Filter",
    "Progress",
    "RunLocked",
    "RunReader",
    "RunRecord",
    "RunWriter",
    "SampleQuery",
    "SpecMismatch",
    "Store",
    "StoreError",
    "StoreTooNew",
    "Suspects",
    "UnknownColumn",
    "UnknownRun",
    "list_runs",
    "metadata_column_names",
    "part_schema",
    "parts_table",
    "queries",
    "read_suspects",
    "run_row",
    "suspects_lock",
    "write_suspects",
]
