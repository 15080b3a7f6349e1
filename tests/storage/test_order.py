"""Orders against plain SQL, the memory they are kept in, and runs that grow."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from storage import RunReader, Store, queries
from storage.memory import Memory
from storage.queries import Filter, SampleQuery
from storage.queries.filters import order_by, source
from storage.queries.order import FRONT, front_rows, ids, ids_at, order, size, sorted_rows
from storage.queries.values import Values
from tests.storage import audit

COLUMNS = [
    "sample_id", "uri", "label", "label_index", "text", "split", "width", "view_x0", "tokens", "brightness",
    "file_format", "file_bytes", "camera", "iso", "exposure", "flash", "score", "predicted", "confidence", "correct",
    "entropy", "mass", "mask_share", "top_tokens",
]  # fmt: skip


def by_sql(reader: RunReader, query: SampleQuery) -> list[int]:
    tables, params = source(reader, query)
    rows = reader.query(f"SELECT e.sample_id {tables} {order_by(reader, query)}", params)
    return [row["sample_id"] for row in rows]


def narrowings(reader: RunReader) -> list[dict[str, Any]]:
    some = reader.sets.keep([*audit.explained_ids(0, 2)[::2], 10_000])
    return [
        {},
        {"filters": (Filter("label", "ne", "ant"), Filter("score", "between", (None, 5)))},
        {"search": "No. 1"},
        {"search": "ANT bee"},
        {"sets": (some,)},
        {"sets": (some,), "search": "no", "filters": (Filter("camera", "not_null"),)},
    ]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", COLUMNS)
def test_orders_are_those_of_sql(reader: RunReader, sort: str, descending: bool) -> None:
    for narrowing in narrowings(reader):
        for modality in ("image", "text"):
            query = SampleQuery("predicted", modality, sort=sort, descending=descending, **narrowing)
            expected = by_sql(reader, query)
            found = order(reader, query)
            assert found.ids.tolist() == ids(reader, query).tolist() == expected
            assert len(found) == size(reader, query) == queries.count(reader, query) == len(expected)
            for place, sample_id in enumerate(expected):
                assert found.place_of(sample_id) == place
            assert found.place_of(9999) is None and found.slice(2, 5) == expected[2:5]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", ["uri", "text", "tokens", "top_tokens", "score", "camera", "label", "iso"])
def test_the_front_of_an_order_is_that_of_the_whole(reader: RunReader, sort: str, descending: bool) -> None:
    for narrowing in narrowings(reader)[:3]:
        query = SampleQuery("predicted", "text", sort=sort, descending=descending, **narrowing)
        expected = by_sql(reader, query)
        for kept in (False, True):
            for start, stop in ((0, 5), (7, 20), (0, FRONT), (len(expected) - 1, len(expected) + 3)):
                order(reader, query) if kept else reader.arrays.forget(lambda key: True)
                assert ids_at(reader, query, start, stop) == expected[start:stop]


@pytest.mark.parametrize("sort", ["uri", "score"])
def test_the_front_of_an_order_sorts_nothing_else(reader: RunReader, sort: str) -> None:
    query = SampleQuery("predicted", "image", sort=sort)
    reader.arrays.forget(lambda key: True)
    ids_at(reader, query, 0, 24)
    assert not reader.keeps(("sorted", "predicted", "image", sort, False))
    ids_at(reader, query, 0, FRONT + 1)
    assert reader.keeps(("sorted", "predicted", "image", sort, False))


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32, np.int64])
def test_values_sort_as_numbers_do(kind: type) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(-5, 5, 300).astype(kind)
    if kind in (np.float32, np.float64):
        values[::7] = [np.inf, -np.inf, np.nan, -0.0, 0.0] * 8 + [1.5] * 3
    if kind is np.int64:
        values[:4] = [2**62, -(2**62), 2**62 - 1, 0]
    empty = rng.random(300) < 0.2
    for descending in (False, True):
        # Python sorts tuples; NaN is above everything
        keys = [(bool(np.isnan(v)), 0 if np.isnan(v) else v.item()) for v in values]
        filled = sorted((i for i in range(300) if not empty[i]), key=lambda i: keys[i], reverse=descending)
        if descending:  # reversed() would turn round equal ones
            filled = sorted(filled, key=lambda i: i)
            filled.sort(key=lambda i: keys[i], reverse=True)
        expected = filled + [i for i in range(300) if empty[i]]
        assert sorted_rows(Values(values, empty), descending).tolist() == expected
        mask = rng.random(300) < 0.6
        for most in (0, 1, 5, 150, 299, 300, 400):
            assert front_rows(Values(values, empty), descending, most).tolist() == expected[:most]
            among = [i for i in expected if mask[i]]
            assert front_rows(Values(values, empty), descending, most, mask).tolist() == among[:most]


def test_a_growing_run_gives_new_orders(store: Store) -> None:
    query = SampleQuery("predicted", sort="score", descending=True, filters=(Filter("iso", "not_null"),))
    with store.writer("run", audit.record()) as writer, store.reader("run") as reader:
        assert ids(reader, query).tolist() == [] and queries.page(reader, query) == []
        seen = 0
        for index in (2, 0, 1, 3):  # parts come in any order
            audit.commit(writer, index)
            if index == 0:
                writer.seal()
            assert len(ids(reader, query)) == seen  # nothing moves before a refresh
            reader.refresh()
            found = ids(reader, query).tolist()
            assert found == by_sql(reader, query) and len(found) > seen
            assert queries.columns(reader)["iso"].filled == len(found)
            seen = len(found)


def test_orders_are_kept_within_the_limit(shared_store: Store) -> None:
    with shared_store.reader("sealed") as reader:
        reader.arrays = Memory(limit=2000)
        for sort in ("score", "iso", "entropy", "exposure", "label", "sample_id"):
            for descending in (False, True):
                query = SampleQuery("predicted", sort=sort, descending=descending)
                assert ids(reader, query).tolist() == by_sql(reader, query)
                assert 0 < reader.arrays.nbytes <= 2000
        reader.close()
        assert reader.arrays.nbytes == 0


def test_memory_forgets_the_longest_unused() -> None:
    memory, made = Memory(limit=250), []

    def ask(key: str, size: int = 100) -> None:
        memory.get(key, lambda: made.append(key) or np.zeros(size, np.uint8))

    for key in ("a", "b", "a", "c", "a", "b"):  # c pushes b out
        ask(key)
    assert made == ["a", "b", "c", "b"] and memory.nbytes == 200
    ask("large", 300)
    ask("large", 300)
    assert made[-2:] == ["large", "large"] and memory.nbytes == 200
    memory.forget(lambda key: key == "a")
    assert memory.nbytes == 100


def test_two_threads_make_a_value_once_and_hold_nobody_up() -> None:
    memory, begun, go, made = Memory(), threading.Event(), threading.Event(), []

    def slow() -> np.ndarray:
        made.append(1)
        begun.set()
        assert go.wait(20)
        return np.arange(3)

    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(memory.get("slow", slow))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert begun.wait(20)
    assert memory.get("other", lambda: np.arange(2)).tolist() == [0, 1]  # while the slow one is being made
    go.set()
    for thread in threads:
        thread.join(20)
    assert len(made) == 1 and [value.tolist() for value in found] == [[0, 1, 2]] * 4


def test_a_failure_is_told_and_not_kept() -> None:
    memory = Memory()
    with pytest.raises(ZeroDivisionError):
        memory.get("a", lambda: np.zeros(1 // 0))
    assert memory.get("a", lambda: np.zeros(1)).tolist() == [0.0]
