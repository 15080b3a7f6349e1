"""A store that the first version made: it opens, it is read, it goes on."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import SCHEMA_VERSION, Filter, SampleQuery, Store, part_schema, parts_table, queries
from tests.storage import audit

ARCHIVE = Path(__file__).parent / "store_v1.tar.xz"  # parts 0 and 1 sealed, part 2 not; metadata "query" and "box"
PART = 6
EXPLAINED = [i for i in range(18) if not audit.fails(i)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    yield Store.open(tmp_path / "store_v1")


def test_reads_as_before_and_later_columns_are_empty(store: Store) -> None:
    with store.reader("old") as reader:
        rows = reader.query("SELECT * FROM samples ORDER BY sample_id")
        assert [row["sample_id"] for row in rows] == EXPLAINED
        assert [(row["grid_h"], row["regions"]) for row in rows] == [(None, None)] * len(rows)
        assert [row["query"] for row in rows] == [f"word {i % 3}" for i in EXPLAINED]  # still the dataset's own column
        explained = reader.query("SELECT * FROM explanations")
        assert {row["zero_rows"] for row in explained} == {None} and "query" not in explained[0]
        maps = reader.maps([(i, "predicted") for i in EXPLAINED], "image")
        assert {key: value.tolist() for key, value in maps.items()} == {
            (i, "predicted"): audit.relevancy(i, "predicted", "image").tolist() for i in EXPLAINED
        }
        sums = reader.query("SELECT sum(n) AS n FROM rollup_class WHERE target = 'predicted'")
        assert sums == [{"n": len(EXPLAINED)}]


def test_queries_of_the_dashboard_work(store: Store) -> None:
    with store.reader("old") as reader:
        asked = SampleQuery("predicted", filters=(Filter("query", "eq", "word 1"), Filter("box", "between", (3, 12))))
        rows = queries.page(reader, asked, 1, 50)
        assert [row["sample_id"] for row in rows] == [i for i in EXPLAINED if i % 3 == 1 and 3 <= i <= 12]
        assert queries.detections(reader) == []
        info = queries.columns(reader)
        assert info["query"].group == "metadata" and info["grid_h"].filled == 0
        assert queries.sample(reader, 2)["explanations"][0]["zero_rows"] is None


def test_goes_on_in_the_new_schema(store: Store) -> None:
    """One tail with parts of both schemas, then one segment from both."""
    given = json.loads((store.root / "runs/old/run.json").read_text())
    record = {name: given[name] for name in ("spec", "model", "dataset", "versions", "notes")}
    metadata = given["dataset"]["metadata"]
    ids = [i for i in range(3 * PART, 4 * PART) if not audit.fails(i)]
    rows = [{**row, "query": "new", "box": 1, "zero_rows": 3} for i in ids for row in audit.rows(i)]
    with Store.open(store.root, create=True).writer("old", record) as writer:
        writer.commit_part(3, parts_table(rows, metadata))
        for _ in range(2):  # as parts, then sealed
            with store.reader("old") as reader:
                found = reader.query("SELECT sample_id, grid_h FROM samples ORDER BY sample_id")
                assert [row["sample_id"] for row in found] == [*EXPLAINED, *ids]
                assert [row["grid_h"] for row in found] == [None] * len(EXPLAINED) + [7] * len(ids)
            writer.seal()
    assert json.loads((store.root / "store.json").read_text()) == {"schema_version": SCHEMA_VERSION}
    assert "query" in part_schema(metadata).names
