"""A user's own SQL over a run: one SELECT over the run's views, no file, no network, not for ever, not all the memory.

It runs in a process of its own (`sql_process`), which can be ended whatever it is doing.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from storage.queries.sql_pool import POOL
from storage.queries.sql_rules import tables as sql_tables
from storage.reader import RunReader

__all__ = ["run_sql", "sql_ids", "sql_tables"]

MOST_ROWS = 5_000
SECONDS = 10.0


def run_sql(reader: RunReader, text: str, *, rows: int = MOST_ROWS, seconds: float = SECONDS) -> pa.Table:
    """The first rows of a query. Raises StoreError when it is no plain SELECT over the run, or asks for too much."""
    return POOL.ask(reader.run.folder, text, rows=int(rows), seconds=seconds)


def sql_ids(reader: RunReader, text: str, *, seconds: float = SECONDS) -> np.ndarray:
    """The distinct sample ids, int64 and sorted, in the column ``sample_id`` of a query. Raises StoreError."""
    return POOL.ask(reader.run.folder, text, rows=None, seconds=seconds)["sample_id"].to_numpy()
