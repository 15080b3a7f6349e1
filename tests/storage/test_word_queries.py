"""The table of words against plain Python over the rows that were written."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import Filter, RunReader, SampleQuery, Store
from storage.queries.words import TENTHS, samples_with_word, word_table
from tests import word_runs

N = 80
ALL = SampleQuery("predicted", "text")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("word-queries")
    word_runs.write_texts(base / "store", "texts", N)
    word_runs.write_texts(base / "store", "bare", 10, words=False)
    word_runs.write_pairs(base / "store", base / "pictures", "pairs", 60)
    word_runs.write_pairs(base / "store", base / "pictures", "low", 30, low=True)
    return base / "store"


@pytest.fixture(scope="module")
def reader(base: Path) -> Iterator[RunReader]:
    with Store.open(base).reader("texts") as reader:
        yield reader


def counted(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Per word: its samples, its shares and times, and its samples per class."""
    found: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"n": 0, "share": [], "times": [], "there": defaultdict(int)}
    )
    for row in rows:
        values = row["map"][1:-1].astype(np.float64)
        for word in {word.lower() for word in row["words"]}:
            one = found[word]
            one["n"] += 1
            one["there"][row["predicted"]] += 1
            if values.sum() > 0:
                places = [k for k, other in enumerate(row["words"]) if other.lower() == word]
                share = values[places].sum() / values.sum()
                one["share"].append(share)
                one["times"].append(share * len(row["words"]))
    return found


@pytest.mark.parametrize("condition", [None, Filter("predicted", "in", ("good",))])
def test_every_word_is_counted_with_its_relevancy(reader: RunReader, condition: Filter | None) -> None:
    rows = [row for i in range(N) for row in word_runs.text_rows(i, True)]
    rows = [row for row in rows if condition is None or row["predicted"] == "good"]
    wanted = counted(rows)
    table = word_table(reader, SampleQuery("predicted", "text", filters=(condition,) if condition else ()))
    assert (table.read, table.total) == (len(rows), len(rows))
    assert set(table.words) == set(wanted) and "superb" in wanted and "long" in wanted
    assert table.n.tolist() == sorted(table.n.tolist(), reverse=True)
    for k, word in enumerate(table.words):
        assert table.n[k] == wanted[word]["n"]
        assert table.share[k] == pytest.approx(np.mean(wanted[word]["share"]), rel=1e-5)
        assert table.times[k] == pytest.approx(np.mean(wanted[word]["times"]), rel=1e-5)
        there = {group.name: int(table.together[k, g]) for g, group in enumerate(table.groups)}
        assert there == {name: wanted[word]["there"][name] for name in there}


def test_association_with_a_class_beyond_chance(reader: RunReader) -> None:
    rows = [row for i in range(N) for row in word_runs.text_rows(i, True)]
    wanted, good = counted(rows), sum(row["predicted"] == "good" for row in rows)
    found = word_table(reader, ALL).rows(group="good")
    assert found[0]["word"] == "superb" and found[0]["beyond"] and not any(row["beyond"] for row in found[2:])
    for row in found:
        n, together = wanted[row["word"]]["n"], wanted[row["word"]]["there"]["good"]
        a, b = together + 0.5, good - together + 0.5
        c, d = n - together + 0.5, N - good - (n - together) + 0.5
        assert (row["n"], row["together"]) == (n, together) and n >= 5
        assert row["expected"] == pytest.approx(n * good / N)
        assert row["z"] == pytest.approx(math.log(a * d / (b * c)) / math.sqrt(1 / a + 1 / b + 1 / c + 1 / d))


def test_rows_are_searched_and_cut(reader: RunReader) -> None:
    table = word_table(reader, ALL)
    assert {row["word"] for row in table.rows(least=1, find="OAT")} == {"boat"}
    assert [row["n"] for row in table.rows(least=1, most=3)] and len(table.rows(least=1, most=3)) == 3
    assert table.rows(least=N + 1) == []
    best = {row["word"]: row["group"] for row in table.rows()}
    assert best["superb"] == "good" and best["plain"] == "bad <b>class</b>"


def test_more_samples_than_are_read(reader: RunReader) -> None:
    table, again = word_table(reader, ALL, most=30), word_table(reader, ALL, most=30)
    assert (table.read, table.total) == (30, N)
    assert table.words == again.words and table.n.tolist() == again.n.tolist()
    assert sum(group.n for group in table.groups) == 30


def test_pairs_go_with_the_tenths_of_their_scores(base: Path) -> None:
    with Store.open(base).reader("pairs") as reader:
        table = word_table(reader, SampleQuery("clip-score", "image"))
        scores = word_runs.scores(60)
        assert [group.name for group in table.groups] == list(TENTHS)
        for group in table.groups:
            low, high = group.filter.value
            inside = (scores >= np.float32(low)) & (scores <= np.float32(high))
            query = SampleQuery("clip-score", "text", filters=(group.filter,))
            assert group.n == inside.sum() == word_table(reader, query).read


@pytest.mark.parametrize(("run", "target"), [("bare", "predicted"), ("low", "clip-score")])
def test_runs_without_words_or_without_relevancy(base: Path, run: str, target: str) -> None:
    with Store.open(base).reader(run) as reader:
        table = word_table(reader, SampleQuery(target, "text"))
        if run == "bare":
            assert (table.words, table.rows(), table.read, table.total) == ([], [], 0, 10)
        else:
            assert table.groups == [] and np.isnan(table.share).all()
            assert all(row["z"] is None for row in table.rows(least=1))


def test_samples_with_a_word(reader: RunReader) -> None:
    rows = [row for i in range(N) for row in word_runs.text_rows(i, True)]
    have = [row for row in rows if "boat" in {word.lower() for word in row["words"]}]
    have.sort(key=lambda row: ("boat" not in {word.lower() for word in row["top_tokens"]}, row["sample_id"]))
    total, ids = samples_with_word(reader, ALL, "BOAT", 1, 10)
    assert total == len(have) and ids == [row["sample_id"] for row in have[:10]]
    assert samples_with_word(reader, ALL, "BOAT", 2, 10)[1] == [row["sample_id"] for row in have[10:20]]
    assert samples_with_word(reader, ALL, "oat") == (0, [])  # a part of a word is another word
    assert samples_with_word(reader, ALL, "'; DROP TABLE samples; --") == (0, [])
