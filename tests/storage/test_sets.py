"""Queries restricted to sets of samples, and free-text search, against plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from storage import Filter, SampleQuery, Store, StoreError, queries, sets
from tests.storage import audit


@pytest.fixture
def reader(store: Store):
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0, 1, 2)
        writer.seal()
        audit.commit(writer, 3)
        with store.reader("run") as opened:
            yield opened


def ids(reader, **given) -> list[int]:
    query = SampleQuery("predicted", **given)
    found = [row["sample_id"] for row in queries.page(reader, query, 1, 10_000)]
    assert queries.count(reader, query) == len(found)
    return found


def test_a_set_restricts_a_query(reader) -> None:
    everything = ids(reader)
    some = everything[3:20:2]
    name = reader.sets.keep([*some, 999_999_999])
    assert ids(reader, sets=(name,)) == some
    assert ids(reader, sets=(name,), sort="score") == [i for i in ids(reader, sort="score") if i in some]
    other = reader.sets.keep(np.array(everything[:9]))
    assert ids(reader, sets=(name, other)) == [i for i in some if i in everything[:9]]
    assert ids(reader, sets=(reader.sets.keep([]),)) == []


def test_the_name_follows_from_the_content(reader) -> None:
    assert reader.sets.keep([3, 1, 2]) == reader.sets.keep((1, 2, 3, 3)) == reader.sets.keep(np.array([2, 1, 3]))
    assert reader.sets.keep([1, 2]) != reader.sets.keep([1, 2, 3])


def test_sets_survive_new_parts(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0)
        with store.reader("run") as reader:
            wanted = audit.explained_ids(0, 1)
            name = reader.sets.keep(wanted)
            assert ids(reader, sets=(name,)) == audit.explained_ids(0)
            audit.commit(writer, 1)
            assert reader.refresh()
            assert ids(reader, sets=(name,)) == wanted


def test_the_longest_unused_set_is_forgotten(reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "MOST", 2)
    first, second = reader.sets.keep([1]), reader.sets.keep([2])
    reader.sets.keep([1])
    reader.sets.keep([3])
    assert reader.sets.table(first)
    with pytest.raises(StoreError, match=f"{second}.*not kept"):
        ids(reader, sets=(second,))
    assert reader.sets.keep([2]) == second and ids(reader, sets=(second,)) == [i for i in ids(reader) if i == 2]


@pytest.mark.parametrize("search", ["", "  ", "cat", "CAT", "jpg 1", "no such thing", "%", "_", "';--", "\\"])
def test_search_finds_every_word_anywhere(reader, search: str) -> None:
    rows = {i: audit.sample(i) | audit.explanation(i, "predicted", "image") for i in audit.explained_ids(0, 1, 2, 3)}

    def words(row) -> str:
        return " ".join(str(row[n]) for n in ("text", "uri", "label", "predicted") if row.get(n) is not None).lower()

    wanted = [i for i, row in rows.items() if all(word in words(row) for word in search.lower().split())]
    assert ids(reader, search=search) == wanted
    wrong = Filter("correct", "eq", False)
    assert ids(reader, search=search, filters=(wrong,)) == [i for i in wanted if rows[i]["correct"] is False]
