"""Every query against the same question asked in plain Python."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from storage import RunReader, Store, StoreError, UnknownColumn, queries
from storage.columns import PART_ONLY_COLUMNS
from storage.queries import Filter, SampleQuery
from tests.storage import audit

IDS = audit.explained_ids(0, 1, 2, 3)
Row = dict[str, Any]


@cache
def truth(target: str = "predicted", modality: str = "image") -> list[Row]:
    """All samples as a page would show them, by id; NaN is empty."""
    rows = []
    for i in IDS:
        row = {**audit.sample(i), **audit.explanation(i, target, modality)}
        vectors = {c.name for c in PART_ONLY_COLUMNS}
        rows.append({name: None if value != value else value for name, value in row.items() if name not in vectors})
    return rows


def ordered(rows: list[Row], sort: str, descending: bool) -> list[int]:
    """Ids sorted: empty last, ties by id."""
    filled = sorted((r for r in rows if r[sort] is not None), key=lambda r: r["sample_id"])
    filled.sort(key=lambda r: r[sort], reverse=descending)  # stable in both directions
    empty = sorted(r["sample_id"] for r in rows if r[sort] is None)
    if sort == "sample_id":
        return sorted((r["sample_id"] for r in rows), reverse=descending)
    return [r["sample_id"] for r in filled] + empty


FILTERS: list[tuple[Filter, Callable[[Row], bool]]] = [
    (Filter("label", "eq", "ant"), lambda r: r["label"] == "ant"),
    (Filter("label", "eq", None), lambda r: r["label"] is None),
    (Filter("label", "ne", "ant"), lambda r: r["label"] != "ant"),
    (Filter("label", "ne", None), lambda r: r["label"] is not None),
    (Filter("label", "in", ["ant", "cat"]), lambda r: r["label"] in ("ant", "cat")),
    (Filter("label", "in", ["ant", None]), lambda r: r["label"] in ("ant", None)),
    (Filter("label", "in", ()), lambda r: False),
    (Filter("camera", "eq", "cam '1'"), lambda r: r["camera"] == "cam '1'"),
    (Filter("camera", "is_null"), lambda r: r["camera"] is None),
    (Filter("camera", "not_null"), lambda r: r["camera"] is not None),
    (Filter("correct", "eq", True), lambda r: r["correct"] is True),
    (Filter("correct", "eq", "false"), lambda r: r["correct"] is False),
    (Filter("flash", "ne", True), lambda r: r["flash"] is not True),
    (Filter("iso", "in", ("100", 300.0)), lambda r: r["iso"] in (100, 300)),
    (Filter("iso", "between", (200, None)), lambda r: r["iso"] is not None and r["iso"] >= 200),
    (Filter("iso", "between", (150.5, "300")), lambda r: r["iso"] is not None and 150.5 <= r["iso"] <= 300),
    (Filter("exposure", "between", (None, 0.05)), lambda r: r["exposure"] is not None and r["exposure"] <= 0.05),
    (Filter("exposure", "between", (None, None)), lambda r: r["exposure"] is not None),
    (Filter("confidence", "between", (0.3, 0.7)), lambda r: np.float32(0.3) <= r["confidence"] <= np.float32(0.7)),
    (Filter("confidence", "eq", 0.3), lambda r: r["confidence"] == np.float32(0.3)),
    (Filter("warmth", "between", (0, None)), lambda r: r["warmth"] is not None and r["warmth"] >= 0),
    (Filter("file_format", "in", ("PNG",)), lambda r: r["file_format"] == "PNG"),
    (Filter("file_bytes", "between", (2**31 + 10, None)), lambda r: (r["file_bytes"] or 0) >= 2**31 + 10),
    (Filter("entropy", "is_null"), lambda r: r["entropy"] is None),
    (Filter("sample_id", "between", (10, 20)), lambda r: 10 <= r["sample_id"] <= 20),
    (Filter("text", "contains", "NO. 1"), lambda r: "no. 1" in r["text"].lower()),
    (Filter("text", "contains", "100%"), lambda r: True),
    (Filter("text", "contains", "_"), lambda r: False),
    (Filter("uri", "contains", "bee/"), lambda r: "bee/" in r["uri"]),
    (Filter("tokens", "contains", "WORD7"), lambda r: any("word7" in t for t in r["tokens"])),
    (Filter("top_tokens", "is_null"), lambda r: r["top_tokens"] is None),
    (Filter("split", "eq", "test"), lambda r: r["split"] == "test"),
]


@pytest.mark.parametrize(
    ("item", "keeps"), FILTERS, ids=lambda f: f"{f.column}-{f.op}" if isinstance(f, Filter) else ""
)
def test_filters(reader: RunReader, item: Filter, keeps: Callable[[Row], bool]) -> None:
    query = SampleQuery("predicted", filters=(item,))
    expected = [r["sample_id"] for r in truth() if keeps(r)]
    assert queries.count(reader, query) == len(expected)
    assert [r["sample_id"] for r in queries.page(reader, query, 1, 1000)] == expected


def test_filters_combine(reader: RunReader) -> None:
    for size in (2, 3):
        for start in range(0, len(FILTERS) - size):
            chosen = FILTERS[start : start + size]
            query = SampleQuery("label", "text", tuple(item for item, _ in chosen))
            expected = sum(all(keeps(r) for _, keeps in chosen) for r in truth("label", "text"))
            assert queries.count(reader, query) == expected


SORTS = ["sample_id", "uri", "label", "confidence", "entropy", "camera", "iso", "exposure", "flash", "correct", "score"]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", SORTS)
def test_pages_in_order_without_gaps_or_repeats(reader: RunReader, sort: str, descending: bool) -> None:
    query = SampleQuery("predicted", sort=sort, descending=descending)
    pages = [queries.page(reader, query, number, 23) for number in range(1, len(IDS) // 23 + 3)]
    found = [row["sample_id"] for page in pages for row in page]
    assert found == ordered(truth(), sort, descending)
    assert pages[-1] == []


def test_page_has_all_columns(reader: RunReader) -> None:
    by_id = {row["sample_id"]: row for row in truth("label", "text")}
    for row in queries.page(reader, SampleQuery("label", "text", sort="score"), 1, 100):
        expected = by_id[row["sample_id"]]
        assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", ["sample_id", "confidence", "entropy", "camera"])
def test_neighbours(reader: RunReader, sort: str, descending: bool) -> None:
    keep = Filter("sample_id", "between", (3, 50))
    query = SampleQuery("predicted", filters=(keep,), sort=sort, descending=descending)
    order = ordered([r for r in truth() if 3 <= r["sample_id"] <= 50], sort, descending)
    padded = [None, *order, None]
    checked = sorted({1, 2, *range(3, len(order), 9), len(order) - 1, len(order)})
    for position in checked:
        sample_id = order[position - 1]
        expected = (padded[position - 1], padded[position + 1], position, len(order))
        assert queries.neighbours(reader, query, sample_id) == expected
    assert queries.neighbours(reader, query, 0) == (None, None, None, len(order))


def test_histogram_counts_every_finite_value_once(reader: RunReader) -> None:
    query = SampleQuery("predicted", filters=(Filter("iso", "not_null"),))
    for column in ("score", "entropy", "exposure", "confidence"):
        values = [r[column] for r in truth() if r["iso"] is not None and r[column] is not None]
        bins = queries.histogram(reader, query, column, bins=10)
        counts, edges = np.histogram(values, bins=10)
        assert sum(b["n"] for b in bins) == len(values)
        np.testing.assert_allclose([b["low"] for b in bins], edges[:-1], rtol=1e-6)
        np.testing.assert_allclose([b["high"] for b in bins], edges[1:], rtol=1e-6)
        if column != "confidence":  # its values lie on the edges of bins
            assert [b["n"] for b in bins] == counts.tolist()


def test_histogram_of_whole_numbers_and_single_values(reader: RunReader) -> None:
    query = SampleQuery("predicted")
    counted = Counter(audit.sample(i)["label_index"] for i in IDS if audit.sample(i)["label_index"] is not None)
    bins = queries.histogram(reader, query, "label_index")
    assert [(b["low"] + 0.5, b["n"]) for b in bins] == sorted(counted.items())
    (only,) = queries.histogram(reader, query, "top10_mass")
    assert only == {"low": 0.5, "high": 0.5, "n": len(IDS), "first": 0.5, "last": 0.5}
    assert queries.histogram(reader, query, "mask_share") == []
    assert queries.histogram(reader, SampleQuery("nothing"), "score") == []


def test_confusion(reader: RunReader) -> None:
    expected = Counter((r["label"], r["predicted"]) for r in truth() if r["label"])
    found = queries.confusion(reader, SampleQuery("predicted"))
    assert [(r["label"], r["predicted"]) for r in found] == sorted(expected)
    assert {(r["label"], r["predicted"]): r["n"] for r in found} == expected


@pytest.mark.parametrize("by", ["label", "predicted"])
def test_class_summary(reader: RunReader, by: str) -> None:
    found = queries.class_summary(reader, SampleQuery("predicted"), by=by)
    names = {r[by] for r in truth()}
    assert [r[by] for r in found] == sorted(n for n in names if n) + ([None] if None in names else [])
    for row in found:
        members = [r for r in truth() if r[by] == row[by]]
        known = [r["correct"] for r in members if r["correct"] is not None]
        assert (row["n"], row["correct"]) == (len(members), sum(known))
        assert row["accuracy"] == (pytest.approx(sum(known) / len(known)) if known else None)
        assert row["mean_confidence"] == pytest.approx(np.mean([r["confidence"] for r in members]))
        for name in ("entropy", "border_share", "mass"):
            values = [r[name] for r in members if r[name] is not None]
            assert row[name] == pytest.approx(np.mean(values))
        assert row["mask_share"] is None


def test_category_values_and_ranges(reader: RunReader) -> None:
    counted = Counter(audit.sample(i)["camera"] for i in IDS if audit.sample(i)["camera"])
    found = queries.category_values(reader, "camera")
    assert {r["value"]: r["n"] for r in found} == counted
    assert [r["n"] for r in found] == sorted(counted.values(), reverse=True)
    assert len(queries.category_values(reader, "camera", limit=1)) == 1
    assert queries.number_range(reader, "iso", "predicted") == (100, 400)
    scores = [row["score"] for row in reader.query("SELECT score FROM explanations WHERE target = 'predicted'")]
    assert queries.number_range(reader, "score", "predicted") == (min(scores), max(scores))
    assert queries.number_range(reader, "score", "no such target") is None
    assert queries.number_range(reader, "iso") == (100, 400)
    assert queries.number_range(reader, "mask_share") is None
    assert queries.targets(reader)[0]["n"] == len(IDS)
    assert len(queries.targets(reader)) == 4
    with pytest.raises(StoreError, match="not numbers"):
        queries.number_range(reader, "camera")
    with pytest.raises(StoreError, match="list"):
        queries.category_values(reader, "tokens")


def test_sample(reader: RunReader) -> None:
    found = queries.sample(reader, 4)
    assert found["sample"]["uri"] == audit.sample(4)["uri"]
    assert [(e["target"], e["modality"]) for e in found["explanations"]] == [
        ("label", "image"), ("label", "text"), ("predicted", "image"), ("predicted", "text"),
    ]  # fmt: skip
    with pytest.raises(StoreError, match=r"sample 7 \(bee/0007.jpg\) was skipped: truncated"):
        queries.sample(reader, 7)
    with pytest.raises(StoreError, match="has no sample 999"):
        queries.sample(reader, 999)


def test_failures_in_pages(reader: RunReader) -> None:
    everything = queries.failures(reader)
    assert [f["sample_id"] for f in everything] == [i for i in range(64) if audit.fails(i)]
    assert queries.failures(reader, 1, 4) + queries.failures(reader, 2, 4) == everything


def test_columns_describe_what_can_be_asked(reader: RunReader) -> None:
    found = queries.columns(reader)
    assert found["camera"].kind == "category" and found["camera"].group == "metadata"
    assert found["camera"].description == "Metadata column 'Camera' of the dataset."
    assert found["iso"].kind == "number" and found["flash"].kind == "bool"
    assert found["sharpness"].kind == "number" and found["file_format"].kind == "category"
    assert found["label"].kind == "category" and found["uri"].kind == "text"
    assert found["entropy"].group == "summary" and found["score"].group == "explanation"
    assert found["camera"].filled == sum(audit.sample(i)["camera"] is not None for i in IDS)
    assert found["mask_share"].filled == 0
    assert not {"top_indices", "map", "features", "sample_first"} & set(found)
    for name, info in found.items():
        assert info.description.endswith(".") and info.unit and info.sql_type
        queries.page(reader, SampleQuery("predicted", sort=name), 1, 2)
        queries.count(reader, SampleQuery("predicted", filters=(Filter(name, "not_null"),)))
        if info.kind == "number":
            queries.histogram(reader, SampleQuery("predicted"), name)
            queries.number_range(reader, name)


def test_free_text_metadata_is_text_until_it_repeats(store: Store) -> None:
    metadata = [
        {"name": "note", "column": "note", "type": "string"},
        {"name": "site", "column": "site", "type": "string"},
    ]
    from storage import parts_table

    rows = [
        {"sample_id": i, "uri": "a", "target": "predicted", "modality": "image", "score": 0.0, "map": [1.0],
         "note": f"note {i}", "site": f"site {i % 20}"}
        for i in range(400)
    ]  # fmt: skip
    with store.writer("run", {"spec": {}, "dataset": {"metadata": metadata}}) as writer, store.reader("run") as reader:
        assert queries.columns(reader)["site"].kind == "text"
        writer.commit_part(0, parts_table(rows, metadata))
        reader.refresh()
        found = queries.columns(reader)
        assert (found["note"].kind, found["site"].kind) == ("text", "category")


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (Filter("lable", "eq", "ant"), "did you mean 'label'"),
        (Filter("label; DROP TABLE samples", "eq", 1), "has no column"),
        (Filter("map", "eq", 1), "has no column"),
        (Filter("top_probs", "eq", 1), "has no column"),
        (Filter("iso", "eq", "many"), "column 'iso' holds BIGINT values; 'many' is none"),
        (Filter("correct", "eq", "perhaps"), "BOOLEAN"),
        (Filter("iso", "contains", "1"), "is no text"),
        (Filter("tokens", "eq", "a"), "is a list"),
        (Filter("iso", "between", (1,)), "needs \\(low, high\\)"),
        (Filter("iso", "in", 100), "needs several values"),
    ],
)
def test_bad_filters_are_explained(reader: RunReader, item: Filter, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        queries.count(reader, SampleQuery("predicted", filters=(item,)))


def test_other_bad_questions(reader: RunReader) -> None:
    with pytest.raises(StoreError, match="unknown filter operator 'equals'"):
        Filter("label", "equals", "ant")
    with pytest.raises(UnknownColumn, match="did you mean 'confidence'"):
        queries.page(reader, SampleQuery("predicted", sort="confidense"))
    with pytest.raises(UnknownColumn):
        queries.histogram(reader, SampleQuery("predicted"), "score FROM x --")
    for page, size in ((0, 10), (1, 0), (-1, 5)):
        with pytest.raises(StoreError, match="does not exist"):
            queries.page(reader, SampleQuery("predicted"), page, size)
    with pytest.raises(StoreError, match="at least one bin"):
        queries.histogram(reader, SampleQuery("predicted"), "score", 0)
    with pytest.raises(StoreError, match="'label' or 'predicted'"):
        queries.class_summary(reader, SampleQuery("predicted"), by="camera")


def test_selections_are_keys() -> None:
    one = SampleQuery("predicted", filters=[Filter("label", "in", ["a", "b"])])  # type: ignore[arg-type]
    two = SampleQuery("predicted", filters=(Filter("label", "in", ("a", "b")),))
    assert one == two and hash(one) == hash(two)


def test_unknown_target_is_an_empty_selection(reader: RunReader) -> None:
    query = SampleQuery("class:nobody'; --")
    assert queries.count(reader, query) == 0
    assert queries.page(reader, query) == []
    assert queries.confusion(reader, query) == []
    assert queries.class_summary(reader, query) == []


def test_infinite_values_do_not_break_statistics(store: Store) -> None:
    from storage import parts_table

    rows = [{**audit.rows(i)[0], "score": value} for i, value in enumerate((1.0, math.inf, math.nan, 3.0, -math.inf))]
    with store.writer("run", audit.record()) as writer, store.reader("run") as reader:
        writer.commit_part(0, parts_table(rows, audit.METADATA))
        reader.refresh()
        assert queries.number_range(reader, "score") == (1.0, 3.0)
        bins = queries.histogram(reader, SampleQuery("predicted"), "score", 2)
        assert [(b["low"], b["n"]) for b in bins] == [(1.0, 1), (2.0, 1)]
        order = [r["sample_id"] for r in queries.page(reader, SampleQuery("predicted", sort="score"), 1, 9)]
        assert order == [4, 0, 3, 1, 2]
        for position, sample_id in enumerate(order, 1):
            assert queries.neighbours(reader, SampleQuery("predicted", sort="score"), sample_id)[2] == position


def test_only_the_columns_that_are_asked_for_are_read(reader) -> None:
    query = SampleQuery("predicted", sort="score")
    whole, part = queries.page(reader, query, 1, 30), queries.page(reader, query, 1, 30, ("uri", "score", "iso"))
    kept = {"sample_id", "target", "modality", "uri", "score", "iso"}
    assert part == [{name: value if name in kept else None for name, value in row.items()} for row in whole]
    assert queries.page(reader, query, 2, 3, ())[0]["sample_id"] == whole[3]["sample_id"]
