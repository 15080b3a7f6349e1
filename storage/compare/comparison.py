"""What can be asked of a comparison: a summary, lists of samples, histograms."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any

import duckdb
import numpy as np

from storage.compare.joined import BOTH, NothingInCommon, joined, same_data, shared_targets
from storage.compare.maps import Floats, resampled_similarity
from storage.errors import StoreError, suggest
from storage.queries.columns import targets
from storage.queries.filters import SampleQuery
from storage.queries.pages import widened
from storage.reader import RunReader
from storage.sets import SampleSets

Row = dict[str, Any]
THRESHOLD = 0.2
LISTS = ("moved", "changed", "wrong", "right", "left", "came")
"""moved: all, those that moved most first; changed: another prediction; wrong, right: what it became; left, came: the
relevancy left the object (came to it) though the prediction stayed."""
OBJECT = ("mask_share", "box_share")


def compare(a: RunReader, b: RunReader, target: str | None = None, modality: str | None = None) -> Comparison:
    """Compare run B with run A on one target and modality (the first that both explained, if they are not given).

    Samples are matched by sample_id when both runs are of one dataset, otherwise by uri and text. Raises
    NothingInCommon, or StoreError for a target that one of them lacks.
    """
    if a.run.folder == b.run.folder:
        raise StoreError(f"run {a.run.run_id!r} cannot be compared with itself; name another run of its dataset")
    known = shared_targets(a, b)
    if not known:
        explained = (", ".join(dict.fromkeys(row["target"] for row in targets(reader)[:8])) for reader in (a, b))
        raise NothingInCommon(
            f"runs {a.run.run_id!r} and {b.run.run_id!r} have no explained target in common ({' and '.join(explained)}"
            "); compare two runs of one dataset with the same --target"
        )
    fitting = [key for key in known if target in (None, key[0]) and modality in (None, key[1])]
    if not fitting:
        asked = " on ".join(part for part in (target, modality) if part)
        names = sorted({part for key in known for part in key if (target is None) == (part in ("image", "text"))})
        raise StoreError(
            f"the runs do not both have explanations of {asked!r}{suggest(target or str(modality), names)}"
        )
    return Comparison(a, b, *fitting[0], joined(a, b, *fitting[0]))


class Comparison:
    """Two runs of the same data, sample by sample. Share it between threads; every query has its own cursor."""

    def __init__(self, a: RunReader, b: RunReader, target: str, modality: str, con: duckdb.DuckDBPyConnection) -> None:
        self.a, self.b, self.target, self.modality = a, b, target, modality
        self._root = con
        self._sets = SampleSets(con)
        self.joined_by = "sample_id" if same_data(a.record, b.record) else "uri"
        names = ("n", "labelled", "comparable", "mask_share", "box_share", "border_share")
        some = ", ".join(f"count({name}_a + {name}_b)" for name in names[3:])
        facts = self._rows(
            f"SELECT count(*), count(correct_a AND correct_b), count(similarity), {some} FROM pairs", (), names
        )[0]
        self.facts: dict[str, int] = facts

    # -- what is asked -----------------------------------------------------------------------------------

    @property
    def basis(self) -> str | None:
        """The column that tells object from background: mask_share or box_share where there are masks or boxes,
        otherwise border_share, or similarity; None where not even maps compare."""
        known = (*OBJECT, "border_share")
        return next((name for name in known if self.facts[name]), "similarity" if self.facts["comparable"] else None)

    @property
    def stayed(self) -> str:
        """What 'the prediction stayed' means: 'right' in both runs, or the 'same' where there are no labels."""
        return "right" if self.facts["labelled"] else "same"

    def keep(self, ids: Iterable[int] | np.ndarray) -> str:
        """Keep a set of sample ids of run A; its name restricts the questions below to it."""
        return self._sets.keep(ids)

    def summary(self, threshold: float = THRESHOLD, within: str = "") -> Row:
        """Counts and means over the samples that both runs have. Shares and accuracies are 0..1.

        `threshold` is the change of the share (or fall of the similarity) from which relevancy counts as moved off
        the object; see `basis` and `stayed`.
        """
        where = self._within(within)
        means = [f"avg({name}_{side}) AS {name}_{side}" for name in BOTH[1:] for side in ("a", "b")]
        counts = {
            "changed": "changed",
            "became_right": _condition("right"),
            "became_wrong": _condition("wrong"),
            "left_object": self._moved_off("left", threshold),
            "came_to_object": self._moved_off("came", threshold),
        }
        told = [f"count(*) FILTER (WHERE {sql}) AS {name}" for name, sql in counts.items() if sql]
        (row,) = self._named(
            "SELECT count(*) AS n_common, count(correct_a AND correct_b) AS labelled, "
            "count(similarity) AS comparable, median(similarity) AS median_similarity, median(moved) AS median_moved, "
            "avg(correct_a::INTEGER) FILTER (correct_b IS NOT NULL) AS accuracy_a, "
            "avg(correct_b::INTEGER) FILTER (correct_a IS NOT NULL) AS accuracy_b, "
            f"{', '.join([*told, *means])} FROM pairs {where}"
        )
        row |= {name: None for name in counts if name not in row}
        (outside,) = self._named("SELECT only_a, only_b FROM outside")
        return {
            "run_a": self.a.run.run_id,
            "run_b": self.b.run.run_id,
            "target": self.target,
            "modality": self.modality,
            "joined_by": self.joined_by,
            **outside,
            **row,
            "basis": self.basis,
            "stayed": self.stayed,
            "threshold": threshold,
            "notes": self.notes(),
        }

    def count(self, name: str, threshold: float = THRESHOLD, within: str = "") -> int:
        """How many samples a list has."""
        condition, _ = self._list(name, threshold)
        return int(self._named(f"SELECT count(*) AS n FROM pairs {self._within(within, condition)}")[0]["n"])

    def page(
        self, name: str, page: int = 1, size: int = 24, threshold: float = THRESHOLD, within: str = ""
    ) -> list[Row]:
        """Page number `page` (from 1) of a list: the columns of `pairs`, and under `a` and `b` all that each run
        stores about the sample.

        Where the maps have different grids, `similarity` is that on the smaller one, and `resampled` is true.
        """
        if page < 1 or size < 1:
            raise StoreError(f"page {page} of size {size} does not exist; both count from 1")
        condition, order = self._list(name, threshold)
        rows = self._named(
            f"SELECT * FROM pairs {self._within(within, condition)} ORDER BY {order} NULLS LAST, id_a "
            f"LIMIT {int(size)} OFFSET {(int(page) - 1) * int(size)}"
        )
        query = SampleQuery(self.target, self.modality)
        for side, reader in (("a", self.a), ("b", self.b)):
            found = {row["sample_id"]: row for row in widened(reader, [row[f"id_{side}"] for row in rows], query)}
            for row in rows:
                row[side] = found[row[f"id_{side}"]]
        self._resample(rows)
        return rows

    def histogram(self, column: str = "similarity", bins: int = 40, within: str = "") -> list[Row]:
        """Equal bins `{"low", "high", "n"}` over similarity or moved; similarities end at 1."""
        if column not in ("similarity", "moved", "shift"):
            raise StoreError(f"no histogram of {column!r}; there are similarity, moved and shift")
        where = self._within(within, f"{column} IS NOT NULL")
        (ends,) = self._named(f"SELECT min({column}) AS low, max({column}) AS high FROM pairs {where}")
        if ends["low"] is None:
            return []
        low, high = min(float(ends["low"]), 0.0), max(float(ends["high"]), 1.0)
        width = (high - low) / bins
        rows = self._named(
            f"SELECT least(floor(({column}::DOUBLE - {low!r}) / {width!r}), {bins - 1})::INTEGER AS bin, "
            f"count(*) AS n FROM pairs {where} GROUP BY bin"
        )
        n = {row["bin"]: row["n"] for row in rows}
        return [{"low": low + i * width, "high": low + (i + 1) * width, "n": n.get(i, 0)} for i in range(bins)]

    def plane(self, column: str, bins: int = 20, within: str = "") -> np.ndarray:
        """How many samples have which share in A (columns) and in B (rows), [bins, bins], over 0..1."""
        if column not in ("mask_share", "box_share", "border_share", "entropy", "confidence"):
            raise StoreError(f"{column!r} is no share")
        x, y = (f"least(floor({column}_{side}::DOUBLE * {bins}), {bins - 1})::INTEGER" for side in ("a", "b"))
        where = self._within(within, f"isfinite({column}_a + {column}_b)")
        table = np.zeros((bins, bins), dtype=np.int64)
        for row in self._named(f"SELECT {x} AS x, {y} AS y, count(*) AS n FROM pairs {where} GROUP BY ALL"):
            table[max(row["y"], 0), max(row["x"], 0)] += row["n"]
        return table

    def notes(self) -> list[str]:
        """What to keep in mind when these two runs are compared."""
        a, b = self.a.record, self.b.record
        found = []
        if self.joined_by == "uri":
            found.append("The runs are not of the very same dataset: samples are matched by their file (and text).")
        names = [set(record.model.get("class_names") or ()) for record in (a, b)]
        if all(names) and not names[0] & names[1]:
            found.append("The models name no class alike, so every prediction counts as changed.")
        if self.target.startswith("detection:"):
            found.append("Detections are matched by their rank, not by the object.")
        if not self.facts["comparable"]:
            found.append(
                "No two maps have the same grid: samples are ordered by the largest change of a summary, and only "
                "the maps that are shown are compared, on the smaller grid."
            )
        elif a.model.get("preprocess") != b.model.get("preprocess"):
            found.append(
                "The models cut and scale pictures differently: maps are compared place by place all the same."
            )
        if a.spec.get("method") != b.spec.get("method"):
            found.append("The methods differ: a map may move though the model did not.")
        return found

    # -- the SQL of it -----------------------------------------------------------------------------------

    def _list(self, name: str, threshold: float) -> tuple[str, str]:
        """Condition and order of a list."""
        if name not in LISTS:
            raise StoreError(f"there is no list {name!r}{suggest(name, LISTS)}")
        if name in ("left", "came"):
            return self._moved_off(name, threshold) or "false", self._order_off(name)
        return _condition(name), "moved DESC" if name in ("moved", "changed") else "confidence_b DESC"

    def _moved_off(self, name: str, threshold: float) -> str | None:
        """Condition of 'left' and 'came'; None when nothing tells."""
        change = self._change(name)
        stayed = "(correct_a AND correct_b)" if self.stayed == "right" else "NOT changed"
        return None if change is None else f"{stayed} AND {change} >= {float(threshold)!r}"

    def _order_off(self, name: str) -> str:
        change = self._change(name)
        return f"{change} DESC" if change else "id_a"

    def _change(self, name: str) -> str | None:
        """How far the relevancy left the object, or came to it; a map that is merely unlike has no direction."""
        basis = self.basis
        if basis is None or basis == "similarity":
            return "(1 - similarity)" if basis and name == "left" else None
        away = (name == "left") == (basis in OBJECT)  # less on the object, or more on the border
        return f"({basis}_a - {basis}_b)" if away else f"({basis}_b - {basis}_a)"

    def _within(self, name: str, condition: str = "true") -> str:
        inside = f" AND id_a IN (SELECT sample_id FROM {self._sets.table(name)})" if name else ""
        return f"WHERE {condition}{inside}"

    def _named(self, sql: str) -> list[Row]:
        cursor = self._root.cursor().execute(sql)
        return self._dicts(cursor, [column[0] for column in cursor.description or []])

    def _rows(self, sql: str, params: tuple[Any, ...], names: tuple[str, ...]) -> list[Row]:
        return self._dicts(self._root.cursor().execute(sql, list(params)), list(names))

    @staticmethod
    def _dicts(cursor: duckdb.DuckDBPyConnection, names: list[str]) -> list[Row]:
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    # -- maps of the shown samples -----------------------------------------------------------------------

    def _resample(self, rows: list[Row]) -> None:
        """Similarities of the shown samples whose maps have different grids."""
        for row in rows:
            row["resampled"] = False
        if self.facts["comparable"] or self.modality != "image":
            return
        of_a = self.a.maps([(row["id_a"], self.target) for row in rows], "image")
        of_b = self.b.maps([(row["id_b"], self.target) for row in rows], "image")
        for row in rows:
            x = _grid_of(self.a, row["a"], of_a.get((row["id_a"], self.target)))
            y = _grid_of(self.b, row["b"], of_b.get((row["id_b"], self.target)))
            if x is not None and y is not None:
                row["similarity"], row["resampled"] = resampled_similarity(x, y), True

    # -- end ---------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of the table; the readers stay open."""
        self._root.close()

    def __enter__(self) -> Comparison:
        """The comparison itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def _condition(name: str) -> str:
    """Condition of a list that needs no threshold."""
    return {
        "moved": "true",
        "changed": "changed",
        "wrong": "(correct_a AND NOT correct_b)",
        "right": "(correct_b AND NOT correct_a)",
    }[name]


def _grid_of(reader: RunReader, row: Row, values: Floats | None) -> Floats | None:
    """A flat map as [rows, columns]; None for regions, and where the grid is not known."""
    row = {name: value for name, value in row.items() if name not in reader.record.taken}
    grid = (
        (row["grid_h"], row["grid_w"]) if row.get("grid_h") and row.get("grid_w") else reader.record.model.get("grid")
    )
    if values is None or row.get("regions") or not grid or int(grid[0]) * int(grid[1]) != values.size:
        return None
    return values.reshape(int(grid[0]), int(grid[1]))
