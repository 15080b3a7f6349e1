"""Whether two runs hold the same: every row of every table, times left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.types as kinds

from storage import RunReader, Store
from storage.tables import identifier

KEYS = ("sample_id", "target", "modality", "slot")
TIMES = ("meta",)  # tables that say when and how something was stored, not what
PLACES = ("failures.part",)  # where it was stored


@dataclass
class Difference:
    """How two runs differ.

    Attributes:
        rows: rows that were compared, of all tables.
        other: what is not a number and differs, as "table.column"; also missing tables and rows.
        columns: largest difference of the numbers of each "table.column" that differs at all. A number is compared
            with 1 or with the largest of its row, whichever is more: 1e-5 is absolute for maps, whose values are
            below 1, and relative for logits of 100.
        peak: largest difference of any map, as a share of that map's largest value.
    """

    rows: int = 0
    other: list[str] = field(default_factory=list)
    columns: dict[str, float] = field(default_factory=dict)
    peak: float = 0.0

    @property
    def equal(self) -> bool:
        """To the bit."""
        return not self.other and not self.columns

    @property
    def largest(self) -> float:
        """Infinite where something that is no number differs."""
        return float("inf") if self.other else max(self.columns.values(), default=0.0)

    def __str__(self) -> str:
        worst = sorted(self.columns.items(), key=lambda item: -item[1])[:3]
        numbers = ", ".join(f"{name} by {value:.1e}" for name, value in worst)
        return "; ".join(filter(None, [", ".join(self.other[:8]), numbers])) or "equal to the bit"


def difference(store: Path, other: Path, run: str, other_run: str | None = None) -> Difference:
    """Compare a run of one store with a run of another; the second one's numbers are the measure."""
    with Store.open(store).reader(run) as mine, Store.open(other).reader(other_run or run) as theirs:
        found = Difference()
        names = [set(_tables(reader)) for reader in (mine, theirs)]
        found.other += [f"{name} (only in one)" for name in sorted(names[0] ^ names[1])]
        for name in sorted(names[0] & names[1]):
            _compare(name, _rows(mine, name), _rows(theirs, name), found)
    return found


def _tables(reader: RunReader) -> list[str]:
    rows = reader.query("SELECT view_name FROM duckdb_views() WHERE NOT internal AND schema_name = 'main'")
    return [row["view_name"] for row in rows if row["view_name"] not in TIMES]


def _rows(reader: RunReader, table: str) -> pa.Table:
    """All rows, ordered by what is not a measured number."""
    schema = reader.table(f"SELECT * FROM {table} LIMIT 0").schema
    plain = [f.name for f in schema if not _floating(f.type) and not kinds.is_nested(f.type)]
    order = [name for name in KEYS if name in plain] + [name for name in plain if name not in KEYS]
    return reader.table(f"SELECT * FROM {table} ORDER BY {', '.join(map(identifier, order))}")


def _floating(kind: pa.DataType) -> bool:
    if kinds.is_list(kind) or kinds.is_fixed_size_list(kind):
        return _floating(kind.value_type)
    return kinds.is_floating(kind)


def _compare(table: str, mine: pa.Table, theirs: pa.Table, found: Difference) -> None:
    """Add what two tables of the same rows differ in."""
    if mine.schema != theirs.schema or len(mine) != len(theirs):
        found.other.append(f"{table} ({len(mine)} and {len(theirs)} rows)")
        return
    found.rows += len(mine)
    for column in mine.schema:
        name = f"{table}.{column.name}"
        if name in PLACES:
            continue
        left, right = mine[column.name].combine_chunks(), theirs[column.name].combine_chunks()
        if not _floating(column.type):
            found.other += [] if left.equals(right) else [name]
            continue
        worst = [_far(a, b) for a, b in zip(left.to_pylist(), right.to_pylist(), strict=True)]
        largest = max((far for far, _ in worst), default=0.0)
        if largest == float("inf"):
            found.other.append(name)
        elif largest > 0:
            found.columns[name] = largest
        if table.startswith("map_"):
            found.peak = max([found.peak, *(share for _, share in worst)])


def _far(mine: object, theirs: object) -> tuple[float, float]:
    """Largest difference of two values or lists of them, and the same as a share of the largest value."""
    if mine is None or theirs is None:
        return (0.0 if mine is theirs else float("inf")), 0.0
    one, two = (np.atleast_1d(np.asarray(value, dtype=np.float64)) for value in (mine, theirs))
    if one.shape != two.shape or (np.isnan(one) != np.isnan(two)).any():
        return float("inf"), 0.0
    same = (one == two) | np.isnan(one)
    far = float(np.abs(np.where(same, 0.0, one - two)).max(initial=0.0))
    largest = float(np.nanmax(np.abs(two), initial=0.0))
    return far / max(1.0, largest), far / largest if largest else far
