"""Image-text pairs: words, evidence and embeddings, from a part to a view and a sealed segment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pytest

from storage import Filter, RunReader, SampleQuery, Store, StoreError, metadata_column_names, parts_table, queries
from storage.columns import EXPLANATION_COLUMNS, PART_ONLY_COLUMNS, SAMPLE_COLUMNS
from tests.storage import audit

IDS = audit.explained_ids(0, 1, 2, 3)
TABLE = f"embedding_{audit.EMBEDDING_WIDTH}"
RECORD = {**audit.record(), "dataset": {**audit.record()["dataset"], "metadata": []}}
TEXT = "Ein Hündchen 🐕, läuft schnell!"
PAIR: dict[str, Any] = {
    "sample_id": 1,
    "uri": "1.jpg",
    "text": TEXT,
    "tokens": ["", "ein", "hünd", "chen", "🐕", ",", "läuft", ""],
    "words": ["Ein", "Hündchen", "🐕", "läuft"],
    "word_starts": [0, 4, 13, 16],
    "word_ends": [3, 12, 14, 21],
    "token_words": [-1, 0, 1, 1, 2, -1, 3, -1],
    "text_tokens": 10,
    "text_cut": True,
}
ROWS: list[dict[str, Any]] = [
    {
        "target": "clip-score", "modality": "image", "score": 0.75, "map": [1, 2], "embedding": [0.6, 0.8],
        "drop_mean": 0.5, "drop_mean_random": 0.125, "drop_blur": 0.25, "drop_blur_random": -0.0625,
    },
    {
        "target": "clip-score", "modality": "text", "score": 0.75, "map": range(8), "embedding": [0.8, 0.6],
        "drop_word": 0.375, "drop_word_random": 0.03125, "dropped_word": "Hündchen",
    },
    {"target": "word-1", "modality": "image", "score": 0.375, "map": [0, 1], "word": "Hündchen"},
    {"target": "word-2", "modality": "image", "score": 0.1875, "map": [1, 0], "word": "läuft"},
]  # fmt: skip
BARE: dict[str, Any] = {
    "sample_id": 2, "uri": "2.jpg", "target": "clip-score", "modality": "image", "score": 0.5, "map": [1, 2],
}  # fmt: skip


def new_names(columns: tuple[Any, ...]) -> list[str]:
    """Columns that came with schema 4."""
    return [column.name for column in columns if column.since == 4]


@pytest.fixture(params=["tail", "sealed"])
def pairs(store: Store, request: pytest.FixtureRequest) -> Iterator[RunReader]:
    """A pair with everything, and one without anything of it."""
    with store.writer("run", RECORD) as writer:
        writer.commit_part(0, parts_table([*({**PAIR, **row} for row in ROWS), BARE], []))
        if request.param == "sealed":
            writer.seal()
    with store.reader("run") as opened:
        yield opened


def test_the_test_gives_every_column_a_value() -> None:
    given = {name for row in ROWS for name in {**PAIR, **row}}
    wanted = [*new_names(SAMPLE_COLUMNS), *new_names(EXPLANATION_COLUMNS), *new_names(PART_ONLY_COLUMNS)]
    assert len(wanted) == 15 and set(wanted) <= given


def test_columns_of_samples_come_back(pairs: RunReader) -> None:
    names = new_names(SAMPLE_COLUMNS)
    rows = pairs.query(f"SELECT {', '.join(names)} FROM samples ORDER BY sample_id")
    assert rows == [{name: PAIR[name] for name in names}, dict.fromkeys(names)]


def test_columns_of_explanations_come_back(pairs: RunReader) -> None:
    names = new_names(EXPLANATION_COLUMNS)
    rows = pairs.query(f"SELECT {', '.join(names)} FROM explanations ORDER BY sample_id, target, modality")
    assert rows == [{name: row.get(name) for name in names} for row in (*ROWS, BARE)]


def test_characters_count_as_sql_and_python_count_them(pairs: RunReader) -> None:
    """Also behind an umlaut and an emoji."""
    cut = "list_transform(range(len(words)), lambda k: text[word_starts[k + 1] + 1 : word_ends[k + 1]])"
    (row,) = pairs.query(f"SELECT {cut} AS cut FROM samples WHERE words IS NOT NULL")
    assert row["cut"] == PAIR["words"]
    assert [TEXT[a:b] for a, b in zip(PAIR["word_starts"], PAIR["word_ends"], strict=True)] == PAIR["words"]


def test_embeddings_belong_to_pictures_and_texts_and_not_to_targets(pairs: RunReader) -> None:
    assert pairs.embedding_widths == (2,)
    rows = pairs.query("FROM embedding_2 ORDER BY modality")
    assert [(row["sample_id"], row["modality"]) for row in rows] == [(1, "image"), (1, "text")]
    assert [list(row["vec"]) for row in rows] == [np.float32(row["embedding"]).tolist() for row in ROWS[:2]]
    assert set(rows[0]) == {"sample_id", "modality", "vec"}


def test_a_dashboard_filters_and_sorts_by_them(pairs: RunReader) -> None:
    info = queries.columns(pairs)
    kinds = {
        name: info[name].kind for name in (*new_names(SAMPLE_COLUMNS), *new_names(EXPLANATION_COLUMNS)) if name in info
    }
    assert kinds == {
        "words": "text", "text_tokens": "number", "text_cut": "bool", "word": "category", "dropped_word": "category",
        **dict.fromkeys(("drop_mean", "drop_mean_random", "drop_blur", "drop_blur_random"), "number"),
        **dict.fromkeys(("drop_word", "drop_word_random"), "number"),
    }  # fmt: skip
    conditions = Filter("text_cut", "eq", True), Filter("words", "contains", "hünd"), Filter("drop_mean", "not_null")
    asked = SampleQuery("clip-score", filters=conditions, sort="drop_blur")
    (row,) = queries.page(pairs, asked, 1, 10)
    assert (row["sample_id"], row["drop_blur"]) == (1, 0.25)
    assert [entry["value"] for entry in queries.category_values(pairs, "word")] == ["Hündchen", "läuft"]


def test_every_embedding_of_a_run_is_there_once(reader: RunReader) -> None:
    assert reader.embedding_widths == (audit.EMBEDDING_WIDTH,)
    rows = reader.query(f"FROM {TABLE} ORDER BY sample_id, modality")
    assert [(row["sample_id"], row["modality"]) for row in rows] == [(i, m) for i in IDS for m in ("image", "text")]
    assert all(list(row["vec"]) == audit.embedding(row["sample_id"], row["modality"]).tolist() for row in rows)


def test_a_segment_is_sorted(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 2, 0, 1)
        writer.seal()
    with duckdb.connect(str(writer.run.segment(0)), read_only=True) as segment:
        keys = segment.execute(f"SELECT sample_id, modality FROM {TABLE}").fetchall()
        assert keys == sorted(keys) and len(keys) == 2 * len(audit.explained_ids(0, 1, 2))


@pytest.mark.parametrize("sealed", [0, 1, 2, 3])
def test_widths_may_differ_and_parts_may_have_none(store: Store, sealed: int) -> None:
    with store.writer("run", RECORD) as writer:
        for part, width in enumerate((4, None, 6)):
            vector = None if width is None else np.full(width, part, np.float32)
            writer.commit_part(part, parts_table([{**BARE, "sample_id": part, "embedding": vector}], []))
            if sealed > part:
                writer.seal()
    with store.reader("run") as reader:
        assert reader.embedding_widths == (4, 6)
        for part, width in ((0, 4), (2, 6)):
            (row,) = reader.query(f"FROM embedding_{width}")
            assert (row["sample_id"], row["modality"], list(row["vec"])) == (part, "image", [float(part)] * width)


def test_a_run_without_embeddings_has_no_table(store: Store) -> None:
    with store.writer("run", RECORD) as writer:
        writer.commit_part(0, parts_table([BARE, {**BARE, "sample_id": 3, "embedding": []}], []))
        writer.seal()
    with store.reader("run") as reader:
        assert reader.embedding_widths == ()
        views = reader.query("SELECT view_name FROM duckdb_views() WHERE view_name LIKE 'embedding%'")
        assert views == []


def test_two_embeddings_of_one_picture_are_refused(store: Store) -> None:
    """Joined by sample and modality, they would count the sample twice."""
    rows = [{**PAIR, **ROWS[0]}, {**PAIR, **ROWS[2], "embedding": [1.0, 0.0]}]
    with store.writer("run", RECORD) as writer:
        with pytest.raises(
            StoreError, match="sample 1, modality 'image', has 2 embeddings; give it with one target only"
        ):
            writer.commit_part(0, parts_table(rows, []))
        assert writer.committed == set()


def test_metadata_of_that_name_is_renamed() -> None:
    assert metadata_column_names(["Word", "words", "Text cut", "Embedding"]) == [
        "meta_word", "meta_words", "meta_text_cut", "meta_embedding"
    ]  # fmt: skip
