"""What an undisturbed run holds, to compare with what anybody sees of a disturbed one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage import RunReader

KEYS = ("sample_id", "target", "modality", "slot")
SUMS = "rollup_class"  # over all samples: part of a run has others
TOLERANCE = 1e-6


class WrongRow(AssertionError):
    """A row that the undisturbed run does not have like this."""


def tables_of(reader: RunReader) -> dict[str, pa.Table]:
    """All rows of every table of a run but the sums."""
    views = reader.query("SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY view_name")
    names = [row["view_name"] for row in views if row["view_name"] != SUMS]
    return {name: reader.table(f"SELECT * FROM {name}") for name in names}


@dataclass(frozen=True)
class Truth:
    """The rows of an undisturbed run: table -> key -> row."""

    tables: dict[str, dict[tuple[Any, ...], dict[str, Any]]]

    @classmethod
    def of(cls, tables: dict[str, pa.Table]) -> Truth:
        return cls({name: _by_key(name, table) for name, table in tables.items()})

    @classmethod
    def read(cls, folder: Path) -> Truth:
        """What `keep` wrote."""
        return cls.of({path.stem: pq.read_table(path) for path in sorted(folder.glob("*.parquet"))})

    @property
    def samples(self) -> int:
        return len(self.tables["samples"])

    def check(self, tables: dict[str, pa.Table], *, whole: bool = False) -> int:
        """How many rows were compared. Raises `WrongRow` for one that is wrong, doubled or unknown; with `whole` also
        when one is missing."""
        for name, table in tables.items():
            self._check_table(name, table, whole)
        if whole and set(tables) != set(self.tables):
            raise WrongRow(f"the tables are {sorted(tables)} instead of {sorted(self.tables)}")
        return sum(len(table) for table in tables.values())

    def _check_table(self, name: str, table: pa.Table, whole: bool) -> None:
        rows = self.tables.get(name, {})
        seen = _by_key(name, table)
        for key, row in seen.items():
            if key not in rows:
                raise WrongRow(f"{name} has a row {key}, which the undisturbed run has not")
            for column, value in rows[key].items():
                if not _same(row[column], value):
                    raise WrongRow(f"{name} row {key}: {column} is {row[column]!r} instead of {value!r}")
        if whole and len(seen) != len(rows):
            raise WrongRow(f"{name} lacks {len(rows) - len(seen)} rows, first {min(set(rows) - set(seen))}")


def keep(tables: dict[str, pa.Table], folder: Path) -> None:
    """Write the tables of an undisturbed run for other processes."""
    folder.mkdir(parents=True)
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")


def _by_key(name: str, table: pa.Table) -> dict[tuple[Any, ...], dict[str, Any]]:
    keys = [key for key in KEYS if key in table.column_names]
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in table.to_pylist():
        key = tuple(row[name] for name in keys)
        if key in rows:
            raise WrongRow(f"{name} has row {key} twice")
        rows[key] = row
    return rows


def _same(one: Any, other: Any) -> bool:
    """Equal; numbers and lists of numbers within `TOLERANCE`."""
    if one == other:
        return True
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return False
