"""What pages have to show, worked out without the product: plain SQL over a finished, undisturbed run, plain Python."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import duckdb
import pyarrow.parquet as pq

from tests.reliability.load.pictures import Known

Row = dict[str, Any]
LISTED = 6  # suspects on a page


@dataclass(frozen=True)
class Question:
    """What the address of a page asks for."""

    page: str
    run: str
    number: int = 1
    size: int = 24
    sort: str = "sample_id"
    descending: bool = False
    filters: tuple[str, ...] = ()  # as in the address: JSON of [column, operator, value]
    members: str = ""
    suspect: str = ""
    sample: int | None = None
    mode: str = "overlay"

    @classmethod
    def of(cls, address: str) -> Question:
        """Read an address as the browser shows it."""
        parts = urlsplit(address)
        given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        return cls(
            page=parts.path.strip("/"),
            run=given.get("run", ""),
            number=int(given.get("page", 1)),
            size=int(given.get("size", 24)),
            sort=given.get("sort", "sample_id"),
            descending=given.get("order") == "desc",
            filters=tuple(sorted(parse_qs(parts.query).get("f", []))),
            members=given.get("members", ""),
            suspect=given.get("suspect", ""),
            sample=int(given["sample"]) if "sample" in given else None,
            mode=given.get("mode", "overlay"),
        )


@dataclass(frozen=True, eq=False)
class Truth:
    """Every sample as an undisturbed run explained it; runs of the same data and settings must show the same.

    Attributes:
        rows: the columns of `samples` and `explanations` of every explained sample, by id.
        maps: its relevancy map, by id.
        suspects: the rows of suspects.parquet of the finished run, by rank.
        samples: how many samples the dataset has; those that are not in `rows` failed.
        part: samples per part.
    """

    rows: Mapping[int, Row]
    maps: Mapping[int, Sequence[float]]
    suspects: Sequence[Row]
    samples: int
    part: int
    finished: str = "first"
    _cache: dict[Any, list[int]] = field(default_factory=dict)

    @property
    def parts(self) -> int:
        """How many parts a finished run has."""
        return -(-self.samples // self.part)

    def explained(self, parts: int) -> int:
        """How many samples are explained when so many parts are committed."""
        return self._explained_before(self.read(parts))

    def read(self, parts: int) -> int:
        """How many samples are explained or failed then."""
        return min(parts * self.part, self.samples)

    @lru_cache(maxsize=4096)  # noqa: B019  one truth per process
    def _explained_before(self, end: int) -> int:
        return sum(number < end for number in self.rows)

    def matching(self, asked: Question, parts: int) -> list[int]:
        """The ids that pass everything in the address, in its order, when so many parts are committed."""
        key = (asked.filters, asked.members, asked.sort, asked.descending)
        if key not in self._cache:
            self._cache[key] = self._ordered(asked)
        end = self.read(parts)
        return [number for number in self._cache[key] if number < end]

    def _ordered(self, asked: Question) -> list[int]:
        ids = [number for number, row in self.rows.items() if all(_passes(row, text) for text in asked.filters)]
        if asked.members:
            inside = set(next(row for row in self.suspects if row["id"] == asked.members)["sample_ids"])
            ids = [number for number in ids if number in inside]
        ids.sort()  # equal values come in the order of the ids
        if asked.sort == "sample_id":
            return ids[::-1] if asked.descending else ids
        known = [number for number in ids if self.rows[number][asked.sort] is not None]
        known.sort(key=lambda number: self.rows[number][asked.sort], reverse=asked.descending)
        return known + [number for number in ids if self.rows[number][asked.sort] is None]  # empty ones come last


def _passes(row: Row, text: str) -> bool:
    """Whether a sample passes a filter of the address."""
    column, operator, wanted = json.loads(text)
    value = row[column]
    if operator == "in":
        return value in wanted
    if operator == "eq":
        return bool(value == wanted)
    if operator == "between":
        return value is not None and wanted[0] <= value <= wanted[1]
    assert operator == "contains", operator
    return value is not None and wanted.lower() in value.lower()


def read_truth(run: Path, known: Sequence[Known], part: int) -> Truth:
    """Read a finished run with SQL alone, and hold it to what was known of the data before."""
    rows: dict[int, Row] = {}
    maps: dict[int, Sequence[float]] = {}
    for number, file in enumerate(sorted(run.glob("segments/*.duckdb"))):
        with duckdb.connect() as con:
            con.execute(f"ATTACH '{file}' AS audit{number} (READ_ONLY)")
            con.execute(f"USE audit{number}")
            found = con.sql(
                "SELECT * FROM samples JOIN explanations USING (sample_id) "
                "WHERE target = 'predicted' AND modality = 'image'"
            ).to_arrow_table()
            (table,) = [name for (name,) in con.sql("SHOW TABLES").fetchall() if name.startswith("map_image_")]
            maps |= dict(con.sql(f"SELECT sample_id, vec FROM {table} WHERE target = 'predicted'").fetchall())
        rows |= {row["sample_id"]: row for row in found.to_pylist()}
    _hold_to(rows, known)
    assert set(maps) == set(rows), "every explained sample has a map"
    listed = run / "suspects.parquet"
    suspects = sorted(pq.read_table(listed).to_pylist(), key=lambda row: row["rank"]) if listed.exists() else []
    return Truth(rows, maps, suspects, len(known), part, run.name)


def _hold_to(rows: Mapping[int, Row], known: Sequence[Known]) -> None:
    """Ids, files, labels and which samples failed are as the data was painted."""
    told = {one.sample_id: (one.uri, one.label, one.place) for one in known if not one.broken}
    assert {number: (row["uri"], row["label"], row["place"]) for number, row in rows.items()} == told
