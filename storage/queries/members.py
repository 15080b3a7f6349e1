"""A suspect's members beside their peers: examples, counts, means, and the vectors of some of them.

Members are given as a set that the reader keeps (`RunReader.sets`); vectors are only read for ids that are named.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from storage.errors import StoreError
from storage.reader import RunReader

MOST_IDS = 1000
BLOCK = 2048  # samples that DuckDB unpacks at once: what is chosen by whole blocks is read without unpacking the rest
GROUPS = ("label", "predicted", "word", "all")


@dataclass(frozen=True)
class Peers:
    """The samples that a suspect's members are compared with, explained for `target` on `modality`.

    `by` says which: those labelled or predicted as class number `index` (of name `name`), those whose text has the
    word `name`, or all. Where samples have no number of their label, its name counts.
    """

    target: str
    modality: str
    by: str = "all"
    name: str = ""
    index: int = -1

    def __post_init__(self) -> None:
        """StoreError for an unknown way to choose them."""
        if self.by not in GROUPS:
            raise StoreError(f"peers are chosen by one of {', '.join(GROUPS)}, not by {self.by!r}")

    @property
    def tables(self) -> tuple[str, list[Any]]:
        """`FROM ... WHERE ...` over explanations e and samples s, and what is to be bound."""
        conditions: dict[str, tuple[str, list[Any]]] = {
            "label": ("coalesce(s.label_index = ?, s.label = ?, false)", [self.index, self.name]),
            "predicted": ("coalesce(e.predicted_index = ?, e.predicted = ?, false)", [self.index, self.name]),
            "word": ("regexp_matches(lower(s.text), ?)", [_whole_word(self.name)]),
            "all": ("true", []),
        }
        condition, values = conditions[self.by]
        joined = "JOIN samples s ON s.sample_id = e.sample_id" if self.by in ("label", "word") else ""
        return (
            f"FROM explanations e {joined} WHERE e.target = ? AND e.modality = ? AND {condition}",
            [self.target, self.modality, *values],
        )


@dataclass(frozen=True)
class Spread:
    """n values with their mean and standard deviation (of the sample, n - 1); None where there are too few."""

    n: int
    mean: float | None
    deviation: float | None


def _whole_word(word: str) -> str:
    """A pattern for a word, in lower case, that is not part of a longer one."""
    edge = r"[^\p{L}\p{N}_]"
    return rf"(^|{edge}){re.escape(word.lower())}({edge}|$)"


def _inside(reader: RunReader, members: str, inside: bool) -> str:
    """The condition that a sample is, or is not, in a kept set."""
    return f"e.sample_id {'IN' if inside else 'NOT IN'} (SELECT sample_id FROM {reader.sets.table(members)})"


def peers_of(
    reader: RunReader,
    peers: Peers,
    members: str,
    most: int,
    *,
    inside: bool = False,
    wrong: bool = False,
    blockwise: bool = False,
) -> list[int]:
    """Ids of at most `most` peers outside (or inside) a kept set, mixed in an order that stays the same.

    `wrong` keeps those whose answer is known to be wrong; `blockwise` chooses neighbours in the store together, as
    reading the vectors of many samples needs.
    """
    tables, values = peers.tables
    tables += " AND e.correct = false" if wrong else ""
    order = f"hash(e.sample_id // {BLOCK}), hash(e.sample_id)" if blockwise else "hash(e.sample_id)"
    rows = reader.query(
        f"SELECT e.sample_id AS id {tables} AND {_inside(reader, members, inside)} ORDER BY {order}, id LIMIT ?",
        [*values, int(most)],
    )
    return [row["id"] for row in rows]


def tally(reader: RunReader, peers: Peers, members: str) -> dict[str, tuple[int, int]]:
    """(right, all) of the peers with a known answer, "with" for those in a kept set, "without" for the others."""
    tables, values = peers.tables
    rows = reader.query(
        f"SELECT {_inside(reader, members, True)} AS shows, count(*) AS n, "
        f"(count(*) FILTER (WHERE e.correct))::BIGINT AS k {tables} AND e.correct IS NOT NULL GROUP BY shows",
        values,
    )
    found = {bool(row["shows"]): (row["k"], row["n"]) for row in rows}
    return {"with": found.get(True, (0, 0)), "without": found.get(False, (0, 0))}


def spread(reader: RunReader, peers: Peers, members: str, column: str) -> dict[str, Spread]:
    """Mean of 'score' or 'confidence' of the peers, "with" for those in a kept set, "without" for the others."""
    if column not in ("score", "confidence"):
        raise StoreError(f"peers are compared by 'score' or 'confidence', not by {column!r}")
    tables, values = peers.tables
    rows = reader.query(
        f"SELECT {_inside(reader, members, True)} AS shows, count(*) AS n, avg(e.{column}) AS mean, "
        f"stddev_samp(e.{column}) AS deviation {tables} AND isfinite(e.{column}) GROUP BY shows",
        values,
    )
    found = {bool(row["shows"]): Spread(row["n"], row["mean"], row["deviation"]) for row in rows}
    none = Spread(0, None, None)
    return {"with": found.get(True, none), "without": found.get(False, none)}


def which_of(reader: RunReader, peers: Peers, ids: Sequence[int]) -> set[int]:
    """Those of at most 1000 ids that are peers."""
    if not len(ids):
        return set()
    if len(ids) > MOST_IDS:
        raise StoreError(f"at most {MOST_IDS:,} samples can be looked up at once, not {len(ids):,}")
    tables, values = peers.tables
    values_of_ids = ", ".join(f"({int(sample_id)})" for sample_id in ids)
    rows = reader.query(
        f"SELECT e.sample_id AS id {tables} AND e.sample_id IN (SELECT id FROM (VALUES {values_of_ids}) k(id))", values
    )
    return {row["id"] for row in rows}


# -- vectors ------------------------------------------------------------------------------------------


def blockwise(ids: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """At most `most` of some ids: all, or those of blocks of the store chosen at random, the same at each call."""
    if len(ids) <= most:
        return ids
    blocks = ids // BLOCK
    kept = np.random.default_rng(seed).permutation(np.unique(blocks))
    place = np.empty(int(kept.max()) + 1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    return ids[np.argsort(place[blocks], kind="stable")[:most]]


def maps_of(reader: RunReader, ids: Sequence[int] | np.ndarray, target: str) -> tuple[np.ndarray, np.ndarray]:
    """(ids [n], raw image maps [n, w]) of the samples that have a map of the widest table of grids, in their order."""
    return _vectors(reader, ids, "map_image", reader.map_widths("image"), "m.target = ?", [target])


def features_of(
    reader: RunReader, ids: Sequence[int] | np.ndarray, target: str, modality: str
) -> tuple[np.ndarray, np.ndarray]:
    """(ids [n], relevancy-weighted features [n, d]) of the samples that have them, in their order."""
    widths = reader.snapshot.contents.feature_widths
    return _vectors(reader, ids, "features", widths, "m.target = ? AND m.modality = ?", [target, modality])


def embeddings_of(reader: RunReader, ids: Sequence[int] | np.ndarray, modality: str) -> tuple[np.ndarray, np.ndarray]:
    """(ids [n], unit vectors [n, d] of the pictures or the texts) of the samples that have them, in their order."""
    return _vectors(reader, ids, "embedding", reader.embedding_widths, "m.modality = ?", [modality])


def patches_of(
    reader: RunReader, ids: Sequence[int] | np.ndarray, target: str
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Cells [T] and token states [T, d] of the stored patches of some samples, the most relevant first."""
    if not reader.patch_widths or not len(ids):
        return {}
    width = max(reader.patch_widths)
    table = _joined(
        reader,
        ids,
        f"SELECT m.sample_id, m.token, m.vec FROM wanted k JOIN patches_{width} m ON m.sample_id = k.sample_id "
        "WHERE m.target = ? AND m.slot >= 0 AND m.token IS NOT NULL ORDER BY m.sample_id, m.slot",
        [target],
    )
    owners, tokens = table["sample_id"].to_numpy(), table["token"].to_numpy()
    states = _matrix(table["vec"], width)
    return {int(one): (tokens[owners == one], states[owners == one]) for one in np.unique(owners)}


def _vectors(
    reader: RunReader,
    ids: Sequence[int] | np.ndarray,
    kind: str,
    widths: Sequence[int],
    condition: str,
    values: list[Any],
) -> tuple[np.ndarray, np.ndarray]:
    """Ids and vectors of the widest table of a kind; empty arrays where there is none."""
    if not widths or not len(ids):
        return np.empty(0, np.int64), np.empty((0, 0), np.float32)
    width = max(widths)
    table = _joined(
        reader,
        ids,
        f"SELECT k.sample_id, m.vec FROM wanted k JOIN {kind}_{width} m ON m.sample_id = k.sample_id "
        f"WHERE {condition} ORDER BY k.place",
        values,
    )
    return table["sample_id"].to_numpy(), _matrix(table["vec"], width)


def _joined(reader: RunReader, ids: Sequence[int] | np.ndarray, sql: str, values: list[Any]) -> pa.Table:
    """A query over the table `wanted` of ids and their places; joined, as IN (...) would unpack every vector."""
    wanted = pa.table({"sample_id": np.asarray(ids, dtype=np.int64), "place": np.arange(len(ids))})

    def work(cursor: Any) -> pa.Table:
        cursor.register("wanted", wanted)
        return cursor.sql(sql, params=values).to_arrow_table()

    return reader.retrying(work)


def _matrix(column: pa.ChunkedArray, width: int) -> np.ndarray:
    """A column of vectors as [n, width]."""
    flat = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return (np.concatenate(flat) if flat else np.empty(0, np.float32)).reshape(-1, width)
