"""Questions to a run. Column names are checked against a whitelist, values are always bound."""

from __future__ import annotations

from storage.queries.columns import ColumnInfo, category_values, columns, number_range, targets
from storage.queries.filters import OPERATORS, Filter, SampleQuery
from storage.queries.pages import count, failures, neighbours, page, sample
from storage.queries.rows import batches, ids
from storage.queries.similar import similar
from storage.queries.sql import run_sql, sql_ids, sql_tables
from storage.queries.statistics import class_summary, confusion, detections, histogram

__all__ = [
    "OPERATORS",
    "ColumnInfo",
    "Filter",
    "SampleQuery",
    "batches",
    "category_values",
    "class_summary",
    "columns",
    "confusion",
    "count",
    "detections",
    "failures",
    "histogram",
    "ids",
    "neighbours",
    "number_range",
    "page",
    "run_sql",
    "sample",
    "similar",
    "sql_ids",
    "sql_tables",
    "targets",
]
