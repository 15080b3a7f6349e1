"""Similar samples against plain numpy, and the bars of a histogram against the filters they become."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from storage import Filter, RunReader, SampleQuery, Store, StoreError, parts_table, queries

WIDTH, COUNT = 6, 40


def vectors() -> np.ndarray:
    made = np.random.default_rng(3).normal(size=(COUNT, WIDTH)).astype(np.float32)
    made[7] = 2 * made[3]  # same direction as 3
    made[11] = 0  # no direction at all
    made[12] = made[13] = made[20]  # equal ones
    return made


def rows() -> list[dict[str, Any]]:
    made = []
    for number, vector in enumerate(vectors()):
        for target, features in (("predicted", vector), ("label", vector[::-1])):
            row = {"sample_id": number, "uri": f"{number}.png", "target": target, "modality": "image", "score": 0.5}
            row |= {"map": np.ones(4, dtype=np.float32), "entropy": float(np.float32(number % 8) / np.float32(7))}
            made.append({**row, "features": None if number == 30 else features, "label_index": number % 10})
    return made


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunReader:
    store = Store.open(tmp_path_factory.mktemp("similar") / "store", create=True)
    record: dict[str, Any] = {"spec": {}, "model": {"grid": [2, 2]}, "dataset": {"metadata": []}, "versions": {}}
    with store.writer("run", record) as writer:
        both = rows()
        writer.commit_part(0, parts_table(both[:50], []))
        writer.seal()
        writer.commit_part(1, parts_table(both[50:], []))
        writer.finish()
    return store.reader("run")


def cosines(target: str, number: int) -> list[tuple[int, float]]:
    """(sample, cosine) of all others that have features of some length, most similar first."""
    table = vectors() if target == "predicted" else vectors()[:, ::-1]
    lengths = np.linalg.norm(table, axis=1)
    others = [k for k in range(COUNT) if k not in (number, 11, 30)]
    found = [(k, float(table[k] @ table[number] / lengths[k] / lengths[number])) for k in others]
    return sorted(found, key=lambda pair: (-round(pair[1], 5), pair[0]))


@pytest.mark.parametrize("target", ["predicted", "label"])
@pytest.mark.parametrize("number", [0, 3, 20, 39])
def test_the_nearest_are_those_of_the_highest_cosine(run: RunReader, target: str, number: int) -> None:
    found = queries.similar(run, number, target, limit=5)
    wanted = cosines(target, number)[:5]
    assert [row["sample_id"] for row in found] == [k for k, _ in wanted]
    np.testing.assert_allclose([row["similarity"] for row in found], [value for _, value in wanted], atol=1e-5)


def test_everybody_but_itself_is_found_once(run: RunReader) -> None:
    found = [row["sample_id"] for row in queries.similar(run, 5, "predicted", limit=1000)]
    assert sorted(found) == [k for k in range(COUNT) if k not in (5, 11, 30)], (
        "no direction, or no features: never near"
    )


def test_without_features_nothing_is_similar(run: RunReader) -> None:
    assert queries.similar(run, 30, "predicted") == queries.similar(run, 11, "predicted") == []
    assert queries.similar(run, 999, "predicted") == queries.similar(run, 5, "nothing") == []
    assert queries.similar(run, 5, "predicted", "text") == []
    with pytest.raises(StoreError, match="at least one"):
        queries.similar(run, 5, "predicted", limit=0)


@pytest.mark.parametrize(("column", "bins"), [("entropy", 7), ("entropy", 10), ("entropy", 3), ("label_index", 30)])
@pytest.mark.parametrize("narrow", [(), (Filter("sample_id", "between", (5, 33)),)])
def test_a_bar_of_a_histogram_filters_exactly_its_samples(
    run: RunReader, column: str, bins: int, narrow: tuple[Filter, ...]
) -> None:
    """Values lie on the edges of bins: each is in one of them, the last bin has its end."""
    query = SampleQuery("predicted", filters=narrow)
    bars = queries.histogram(run, query, column, bins)
    found: list[int] = []
    for bar in bars:
        if not bar["n"]:
            assert bar["first"] is bar["last"] is None
            continue
        within = SampleQuery("predicted", filters=(*narrow, Filter(column, "between", (bar["first"], bar["last"]))))
        inside = queries.ids(run, within).tolist()
        assert len(inside) == bar["n"]
        found += inside
    assert sorted(found) == queries.ids(run, query).tolist()


def test_ids_come_in_the_order_of_the_query(run: RunReader) -> None:
    query = SampleQuery("predicted", sort="entropy", descending=True)
    wanted = sorted(range(COUNT), key=lambda k: (-(k % 8), k))
    assert queries.ids(run, query).tolist() == wanted and queries.ids(run, query, 3).tolist() == wanted[:3]


def test_batches_are_the_rows_of_the_pages(run: RunReader) -> None:
    query = SampleQuery("label", filters=(Filter("label_index", "in", (2, 4)),), sort="entropy")
    with queries.batches(run, query) as found:
        table = found.read_all()
    assert table.to_pylist() == queries.page(run, query, 1, 100)
    with queries.batches(run, query, 3) as found:
        assert found.read_all().num_rows == 3
