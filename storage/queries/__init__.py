"""Questions to a run. Column names are checked against a whitelist, values are always bound."""

from __future__ import annotations

from storage.queries.columns import ColumnInfo, category_values, columns, number_range, targets
from storage.queries.filters import OPERATORS, Filter, SampleQuery
from storage.queries.pages import count, failures, neighbours, page, sample
from storage.queries.sql import run_sql, sql_ids, sql_tables
from storage.queries.statistics import class_summary, confusion, detections, histogram

__all__ = [
    "OPERATORS",
    "ColumnInfo",
    "Filter",
    "SampleQuery",
    "category_values",
    "class_summary",
    "columns",
    "confusion",
    "count",
    "detections",
    "failures",
    "histogram",
    "neighbours",
    "number_range",
    "page",
    "run_sql",
    "sample",
    "sql_ids",
    "sql_tables",
    "targets",
]
