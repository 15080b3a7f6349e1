"""Stores that earlier versions made: they open, they are read, they go on."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import SCHEMA_VERSION, Filter, RunReader, SampleQuery, Store, part_schema, parts_table, queries
from storage.columns import EXPLANATION_COLUMNS, SAMPLE_COLUMNS
from tests.storage import audit

ARCHIVE = Path(__file__).parent / "store_v1.tar.xz"  # parts 0 and 1 sealed, part 2 not; metadata "query" and "box"
SECOND = (
    Path(__file__).parent / "store_v2.tar.xz"
)  # the same; metadata "patch_tokens" in "old", "plain" has image rows only
THIRD = Path(__file__).parent / "store_v3.tar.xz"  # the same; metadata "word", "words" and "embedding" in "old"
PART = 6
EXPLAINED = [i for i in range(18) if not audit.fails(i)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    yield Store.open(tmp_path / "store_v1")


@pytest.fixture
def second(tmp_path: Path) -> Store:
    with tarfile.open(SECOND) as archive:
        archive.extractall(tmp_path, filter="data")
    return Store.open(tmp_path / "store_v2")


@pytest.fixture
def third(tmp_path: Path) -> Store:
    with tarfile.open(THIRD) as archive:
        archive.extractall(tmp_path, filter="data")
    return Store.open(tmp_path / "store_v3")


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
    with store.reader("old") as reader:
        assert patched(reader) == ids


def patched(reader: RunReader) -> list[int]:
    """Samples with patches."""
    rows = reader.query(f"SELECT DISTINCT sample_id FROM patches_{audit.PATCH_WIDTH} ORDER BY sample_id")
    return [row["sample_id"] for row in rows]


@pytest.mark.parametrize("run", ["old", "plain"])
def test_schema_2_reads_as_before(second: Store, run: str) -> None:
    with second.reader(run) as reader:
        rows = reader.query("SELECT * FROM samples ORDER BY sample_id")
        assert [(row["sample_id"], row["grid_h"]) for row in rows] == [(i, 7) for i in EXPLAINED]
        assert reader.patch_widths == ()
        maps = reader.maps([(i, "predicted") for i in EXPLAINED], "image")
        assert all((maps[i, "predicted"] == audit.relevancy(i, "predicted", "image")).all() for i in EXPLAINED)
        assert {row["zero_rows"] for row in reader.query("FROM explanations")} == set(EXPLAINED)
        if run == "old":  # still the dataset's own column
            assert [row["patch_tokens"] for row in rows] == [f"word {i % 3}" for i in EXPLAINED]
            assert queries.columns(reader)["patch_tokens"].group == "metadata"


@pytest.mark.parametrize("run", ["old", "plain"])
def test_schema_2_goes_on_in_the_new_schema(second: Store, run: str) -> None:
    """New parts have patches, unless the dataset's metadata has taken their name."""
    given = json.loads((second.root / f"runs/{run}/run.json").read_text())
    record = {name: given[name] for name in ("spec", "model", "dataset", "versions", "notes")}
    metadata = given["dataset"]["metadata"]
    ids = [i for i in range(3 * PART, 4 * PART) if not audit.fails(i)]
    own = {"patch_tokens": "new", "patch_states": None} if run == "old" else {}
    rows = [{**row, **own} for i in ids for row in audit.rows(i)]
    with Store.open(second.root, create=True).writer(run, record) as writer:
        writer.commit_part(3, parts_table(rows, metadata))
        for _ in range(2):  # as parts, then sealed
            with second.reader(run) as reader:
                found = reader.query("SELECT sample_id FROM samples ORDER BY sample_id")
                assert [row["sample_id"] for row in found] == [*EXPLAINED, *ids]
                if run == "old":
                    assert reader.patch_widths == ()
                else:
                    assert patched(reader) == ids
            writer.seal()
    assert json.loads((second.root / "store.json").read_text()) == {"schema_version": SCHEMA_VERSION}


@pytest.mark.parametrize(
    ("archive", "run"), [(1, "old"), (2, "old"), (2, "plain"), (3, "old"), (3, "plain")], ids=lambda value: str(value)
)
def test_columns_of_pairs_are_empty(request: pytest.FixtureRequest, archive: int, run: str) -> None:
    """Those of schema 4, whichever earlier schema the run has; the names that its metadata took are not among them."""
    store = request.getfixturevalue(("store", "second", "third")[archive - 1])
    assert json.loads((store.root / "store.json").read_text()) == {"schema_version": archive}
    with store.reader(run) as reader:
        taken = {entry["column"] for entry in reader.record.metadata}
        for table, columns in (("samples", SAMPLE_COLUMNS), ("explanations", EXPLANATION_COLUMNS)):
            names = [column.name for column in columns if column.since == 4 and column.name not in taken]
            assert len(names) >= 5
            rows = reader.query(f"SELECT DISTINCT {', '.join(names)} FROM {table}")
            assert rows == [dict.fromkeys(names)]
            filled = queries.columns(reader)
            assert {filled[name].filled for name in names if name in filled} == {0}
        assert reader.embedding_widths == ()


@pytest.mark.parametrize("run", ["old", "plain"])
def test_schema_3_reads_as_before(third: Store, run: str) -> None:
    with third.reader(run) as reader:
        rows = reader.query("SELECT * FROM samples ORDER BY sample_id")
        assert [row["sample_id"] for row in rows] == EXPLAINED
        assert [row["brightness"] for row in rows] == [audit.properties(i)["brightness"] for i in EXPLAINED]
        assert patched(reader) == EXPLAINED
        maps = reader.maps([(i, "predicted") for i in EXPLAINED], "image")
        assert all((maps[i, "predicted"] == audit.relevancy(i, "predicted", "image")).all() for i in EXPLAINED)
        if run == "old":  # still the dataset's own columns
            assert [row["word"] for row in rows] == [f"word {i % 3}" for i in EXPLAINED]
            assert [row["words"] for row in rows] == EXPLAINED
            assert [row["embedding"] for row in rows] == [f"from {i % 2}" for i in EXPLAINED]
            info = queries.columns(reader)
            assert [info[name].group for name in ("word", "words", "embedding")] == ["metadata"] * 3
            assert "word" not in reader.query("FROM explanations LIMIT 1")[0]
            asked = SampleQuery(
                "predicted", filters=(Filter("word", "eq", "word 1"), Filter("words", "between", (3, 12)))
            )
            found = [row["sample_id"] for row in queries.page(reader, asked, 1, 50)]
            assert found == [i for i in EXPLAINED if i % 3 == 1 and 3 <= i <= 12]


@pytest.mark.parametrize("run", ["old", "plain"])
def test_schema_3_goes_on_in_the_new_schema(third: Store, run: str) -> None:
    """New parts have words and embeddings, unless the dataset's metadata has taken their name."""
    given = json.loads((third.root / f"runs/{run}/run.json").read_text())
    record = {name: given[name] for name in ("spec", "model", "dataset", "versions", "notes")}
    metadata = given["dataset"]["metadata"]
    ids = [i for i in range(3 * PART, 4 * PART) if not audit.fails(i)]
    own = {"word": "new", "words": 7, "embedding": "new"} if run == "old" else {}
    rows = [{**row, **own} for i in ids for row in audit.rows(i)]
    with Store.open(third.root, create=True).writer(run, record) as writer:
        writer.commit_part(3, parts_table(rows, metadata))
        for _ in range(2):  # as parts, then sealed
            with third.reader(run) as reader:
                check_grown(reader, ids, own)
            writer.seal()
    with third.reader(run) as reader:
        check_grown(reader, ids, own)
    assert json.loads((third.root / "store.json").read_text()) == {"schema_version": SCHEMA_VERSION}


def check_grown(reader: RunReader, ids: list[int], own: dict[str, object]) -> None:
    """The samples of schema 3 without words, evidence and embeddings, those of schema 4 with them."""
    rows = reader.query("SELECT sample_id, words, text_tokens FROM samples ORDER BY sample_id")
    assert [row["sample_id"] for row in rows] == [*EXPLAINED, *ids]
    before = EXPLAINED if own else [None] * len(EXPLAINED)
    after = [own["words"] if own else audit.sample(i)["words"] for i in ids]
    assert [row["words"] for row in rows] == [*before, *after]
    new = [audit.sample(i)["text_tokens"] for i in ids]
    assert [row["text_tokens"] for row in rows] == [None] * len(EXPLAINED) + new
    dropped = reader.query("SELECT DISTINCT sample_id FROM explanations WHERE drop_mean IS NOT NULL ORDER BY ALL")
    assert [row["sample_id"] for row in dropped] == [i for i in ids if i % 4 != 2]
    assert patched(reader) == [*EXPLAINED, *ids]
    if own:
        assert reader.embedding_widths == ()
    else:
        (width,) = reader.embedding_widths
        found = reader.query(
            f"SELECT sample_id, vec FROM embedding_{width} WHERE modality = 'image' ORDER BY sample_id"
        )
        assert [row["sample_id"] for row in found] == ids
        assert all(list(row["vec"]) == audit.embedding(row["sample_id"], "image").tolist() for row in found)
