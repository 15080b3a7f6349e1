"""All samples of a selection at once: their ids, and their rows in batches that need not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.queries import order
from storage.queries.catalog import run_explanation_columns, run_sample_columns
from storage.queries.filters import SampleQuery, order_by, source
from storage.queries.steady import steady
from storage.reader import RunReader
from storage.tables import identifier

BATCH = 20_000


@steady
def ids(reader: RunReader, query: SampleQuery, limit: int | None = None) -> npt.NDArray[np.int64]:
    """The sample ids of a selection in its order, int64; the first `limit` of them."""
    return order.ids(reader, query)[:limit]


@contextmanager
def batches(reader: RunReader, query: SampleQuery, limit: int | None = None) -> Iterator[pa.RecordBatchReader]:
    """The rows of a selection in its order: all columns of `samples` and `explanations`, read while they are used.

    The first `limit` of them. A query of its own reads them until the context ends.
    """
    wanted = [f"s.{identifier(c.name)}" for c in run_sample_columns(reader)]
    wanted += [f"e.{identifier(c.name)}" for c in run_explanation_columns(reader)]
    tables, params = source(reader, query, "uri")  # a column of samples: both tables are joined
    end = "" if limit is None else f" LIMIT {int(limit)}"
    sql = f"SELECT {', '.join(wanted)} {tables} {order_by(reader, query)}{end}"
    cursor, found = reader.retrying(
        lambda cursor: (cursor, cursor.sql(sql, params=list(params)).to_arrow_reader(BATCH))
    )
    try:
        yield found
    finally:
        found.close()
        cursor.close()
