"""The store: immutable Parquet parts and sealed DuckDB segments, written by one job, read by anyone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage import queries
from storage.errors import (
    RunLocked,
    SpecMismatch,
    StoreError,
    StoreTooNew,
    UnknownColumn,
    UnknownRun,
)
from storage.faithfulness import about_faithfulness, merge_faithfulness, read_faithfulness, write_faithfulness
from storage.newest import Newest
from storage.overview import list_runs, run_row
from storage.parts import parts_table
from storage.progress import Progress
from storage.queries import ColumnInfo, Filter, SampleQuery
from storage.reader import RunReader
from storage.record import RunRecord
from storage.remote import Following, Mirror, address_of
from storage.retire import GRACE_SECONDS
from storage.reviews import (
    ROLES,
    VERDICTS,
    Agreement,
    Entry,
    Member,
    SavedView,
    TagChange,
    agreement_of,
    team_verdict,
)
from storage.schema import SCHEMA_VERSION, metadata_column_names, part_schema
from storage.store import Store
from storage.suspects import Suspects, count_suspects, read_suspects, suspects_lock, write_suspects
from storage.writer import RunWriter

if TYPE_CHECKING:
    from storage.reviews import Reviews

__all__ = [
    "GRACE_SECONDS",
    "ROLES",
    "SCHEMA_VERSION",
    "VERDICTS",
    "Agreement",
    "ColumnInfo",
    "Entry",
    "Filter",
    "Following",
    "Member",
    "Mirror",
    "Newest",
    "Progress",
    "Reviews",
    "RunLocked",
    "RunReader",
    "RunRecord",
    "RunWriter",
    "SampleQuery",
    "SavedView",
    "SpecMismatch",
    "Store",
    "StoreError",
    "StoreTooNew",
    "Suspects",
    "TagChange",
    "UnknownColumn",
    "UnknownRun",
    "about_faithfulness",
    "address_of",
    "agreement_of",
    "count_suspects",
    "list_runs",
    "merge_faithfulness",
    "metadata_column_names",
    "part_schema",
    "parts_table",
    "queries",
    "read_faithfulness",
    "read_suspects",
    "run_row",
    "suspects_lock",
    "team_verdict",
    "write_faithfulness",
    "write_suspects",
]


def __getattr__(name: str) -> Any:
    """`Reviews` when it is first asked for: a job that explains pictures need not load SQLAlchemy."""
    if name == "Reviews":
        from storage.reviews import Reviews

        return Reviews
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
