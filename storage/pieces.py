"""Where the rows of a run lie: one piece per sealed segment, and one for the parts that are not sealed yet.

A view over all of them is planned anew for every query, with every column of every segment, which takes longer than to
read a column. SQL over pieces names only the columns that it reads, and only the pieces that can hold what it wants.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from storage.layout import RunLayout
from storage.manifests import PartManifest, Snapshot, total
from storage.record import RunRecord
from storage.tables import Columns, identifier, part_selects, part_source, table_columns
from storage.views import Catalog, segment_alias

_MENTIONED = re.compile(r'\b([es])\.("(?:[^"]|"")+"|\w+)')
VECTOR = 2048  # rows that DuckDB decodes together
_TABLES = {"e": "explanations", "s": "samples"}


@dataclass(frozen=True)
class Piece:
    """Some rows of every table, and the range of their sample ids. `tables` maps a table to the relation that holds
    it, and to the columns that are there; None is all of them. `name` is that of a sealed segment, which never changes;
    empty for the parts that are not sealed."""

    name: str
    low: int
    high: int
    tables: Mapping[str, tuple[str, frozenset[str] | None]]

    def select(self, table: str, columns: Columns) -> str | None:
        """SELECT of some columns, those that an older segment lacks are NULL; None when the table is not here."""
        if table not in self.tables:
            return None
        relation, present = self.tables[table]
        names = (
            identifier(name) if present is None or name in present else f"NULL::{kind} AS {identifier(name)}"
            for name, kind in columns
        )
        return f"SELECT {', '.join(names)} FROM {relation}"


@dataclass(frozen=True)
class Pieces:
    """All rows of a run at one moment."""

    run: RunLayout
    record: RunRecord
    snapshot: Snapshot
    sealed: tuple[Piece, ...]
    columns: Mapping[str, Columns]

    @classmethod
    def of(cls, run: RunLayout, record: RunRecord, snapshot: Snapshot, catalog: Catalog) -> Pieces:
        """The pieces of a snapshot whose segments are attached."""
        sealed = []
        for segment in snapshot.segments:
            alias, contents = segment_alias(segment), segment.contents
            if contents.min_id is not None and contents.max_id is not None:
                tables = {name: (f"{alias}.{name}", frozenset(columns)) for name, columns in catalog[alias].items()}
                sealed.append(Piece(alias, contents.min_id, contents.max_id, tables))
        return cls(run, record, snapshot, tuple(sealed), table_columns(snapshot.contents, record.metadata))

    def all(self) -> list[Piece]:
        """Every piece."""
        return [*self.sealed, *self._tail(self.snapshot.tail)]

    def holding(self, ids: Sequence[int]) -> list[tuple[Piece, list[int]]]:
        """The pieces that may hold samples, each with those ids in ascending order."""
        wanted = sorted(set(ids))
        tail = [part for part in self.snapshot.tail if _within(wanted, part.contents.min_id, part.contents.max_id)]
        found = [(piece, _within(wanted, piece.low, piece.high)) for piece in [*self.sealed, *self._tail(tail)]]
        return [(piece, mine) for piece, mine in found if mine]

    def lookups(self, table: str, columns: Sequence[str], ids: Sequence[int], condition: str = "true") -> list[str]:
        """SELECTs that find the rows of some samples, to be united.

        Neighbours are found together. IN (...) alone, or a join, would decode every vector of the table.
        """
        wanted = [column for column in self.columns.get(table, []) if column[0] in columns]
        return [
            f"({select} WHERE {near} AND {condition})"
            for piece, mine in self.holding(ids)
            if (select := piece.select(table, wanted)) is not None
            for near in _conditions(mine)
        ]

    def _tail(self, parts: Iterable[PartManifest]) -> list[Piece]:
        """Parts that are not sealed, as one piece."""
        parts = [part for part in parts if part.contents.rows]
        contents = total(part.contents for part in parts)
        if contents.min_id is None or contents.max_id is None:
            return []
        selects = part_selects(part_source(self.run, parts, self.record.metadata), contents, self.record.metadata)
        return [
            Piece("", contents.min_id, contents.max_id, {name: (f"({sql})", None) for name, sql in selects.items()})
        ]

    def spread(self, select: str) -> tuple[str, int]:
        """SQL that unites the answers of every piece to a SELECT, and how many there are: its values are bound that
        often. It names the tables `explanations e` and `samples s`, and every column with `e.` or `s.` before it.

        No piece at all leaves the SELECT as it is: the views are empty, too.
        """
        named: dict[str, set[str]] = {"explanations": set(), "samples": set()}
        for letter, name in _MENTIONED.findall(select):
            named[_TABLES[letter]].add(name.strip('"').replace('""', '"'))
        pieces = self.all()
        if not pieces:
            return select, 1
        return " UNION ALL ".join(f"({self._on(piece, select, named)})" for piece in pieces), len(pieces)

    def _on(self, piece: Piece, select: str, named: Mapping[str, set[str]]) -> str:
        """The SELECT with the tables of one piece in place of the views."""
        tables = []
        for table, names in named.items():
            columns = [column for column in self.columns[table] if column[0] in names]
            if columns:
                tables.append(f"{table} AS NOT MATERIALIZED ({piece.select(table, columns)})")
        return f"WITH {', '.join(tables)} {select}" if tables else select


def _within(ids: Sequence[int], low: int | None, high: int | None) -> list[int]:
    return [i for i in ids if low is not None and high is not None and low <= i <= high]


def _conditions(ids: Sequence[int]) -> Iterator[str]:
    """Conditions that some ascending ids fulfil, one per group of ids that may lie in one vector."""
    gaps = [k for k in range(1, len(ids)) if ids[k] - ids[k - 1] > VECTOR]
    for start, stop in zip([0, *gaps], [*gaps, len(ids)], strict=True):
        mine = ids[start:stop]
        between = f"sample_id BETWEEN {mine[0]} AND {mine[-1]}"
        whole = mine[-1] - mine[0] + 1 == len(mine)
        yield between if whole else f"{between} AND sample_id IN ({', '.join(map(str, mine))})"
