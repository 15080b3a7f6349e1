"""Every question that the dashboard asks of a run, with answers that are checked against each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from storage import Filter, RunReader, SampleQuery, queries
from storage.columns import EXPLANATION_COLUMNS, SAMPLE_COLUMNS
from storage.queries import evidence, members, pairs, words


def selections(reader: RunReader) -> Iterator[SampleQuery]:
    """One for each explained target and modality."""
    for row in queries.targets(reader):
        yield SampleQuery(row["target"], row["modality"])


def ask_everything(reader: RunReader, columns: bool = True) -> set[str]:
    """Ask; AssertionError when answers contradict each other. The names of `storage.queries` that were used.

    Without `columns` no column is asked for by itself.
    """
    known = queries.columns(reader)
    assert known["sample_id"].kind == "number"
    stored = [row["sample_id"] for row in reader.query("SELECT sample_id FROM samples ORDER BY sample_id")]
    failed = queries.failures(reader)
    assert not {row["sample_id"] for row in failed} & set(stored) and all(row["reason"] for row in failed)
    tables = queries.sql_tables(reader)
    assert {"samples", "explanations", "failures"} <= set(tables)
    counts = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in tables)
    (sizes,) = queries.run_sql(reader, f"SELECT {counts}").to_pylist()
    assert sizes["samples"] == len(stored)
    assert queries.sql_ids(reader, "SELECT sample_id FROM samples").tolist() == stored
    assert sum(row["n"] for row in queries.detections(reader)) == 0
    evidence.deletion_checks(reader)
    first = next(selections(reader))
    if columns:
        _ask_columns(reader, first, known)
    for asked in selections(reader):
        if asked.target == first.target:
            _ask(reader, asked, stored)
    return {
        "OPERATORS",
        "ColumnInfo",
        "Filter",
        "SampleQuery",
        "batches",
        "category_values",
        "class_summary",
        "columns",
        "confusion",
        "count",
        "detections",
        "failures",
        "histogram",
        "ids",
        "neighbours",
        "number_range",
        "page",
        "run_sql",
        "sample",
        "similar",
        "sql_ids",
        "sql_tables",
        "targets",
    }


def _ask(reader: RunReader, asked: SampleQuery, stored: list[int]) -> None:
    """Everything about one target on one modality."""
    ids = queries.ids(reader, asked).tolist()
    assert ids and set(ids) <= set(stored) and queries.count(reader, asked) == len(ids)
    assert [row["sample_id"] for row in queries.page(reader, asked, 1, 100)] == ids
    with queries.batches(reader, asked) as batches:
        assert [i for batch in batches for i in batch["sample_id"].to_pylist()] == ids
    assert queries.neighbours(reader, asked, ids[0])[2:] == (1, len(ids))
    assert sum(row["n"] for row in queries.class_summary(reader, asked)) == len(ids)
    assert sum(row["n"] for row in queries.confusion(reader, asked)) <= len(ids)
    found = queries.sample(reader, ids[-1])
    assert found["sample"]["sample_id"] == ids[-1] and found["explanations"]
    nearest = queries.similar(reader, ids[0], asked.target, asked.modality, 3)
    assert all(row["sample_id"] in ids and row["similarity"] <= 1.0001 for row in nearest)
    _ask_vectors(reader, asked, ids)
    if asked.modality == "text":
        table = words.word_table(reader, asked)
        assert table is not None
        words.samples_with_word(reader, asked, "photo")
        pairs.tenth_words(reader, asked)
    pairs.score_numbers(reader, asked), pairs.tenth_maps(reader, asked), pairs.falls(reader, asked)


def _ask_columns(reader: RunReader, asked: SampleQuery, columns: dict[str, Any]) -> None:
    """Filter by all columns that a file may lack at once, sort by those of the dataset, and sum them up."""
    since = {column.name: column.since for column in (*SAMPLE_COLUMNS, *EXPLANATION_COLUMNS)}
    later = {name: info for name, info in columns.items() if info.group == "metadata" or since.get(name, 1) > 1}
    everything = queries.count(reader, asked)
    for operator in ("is_null", "not_null"):
        narrow = replace(asked, filters=tuple(Filter(name, operator) for name in later))
        assert queries.count(reader, narrow) <= everything
    own = [name for name, info in later.items() if info.group == "metadata"]
    for name in own[:6]:
        info = later[name]
        assert len(queries.ids(reader, replace(asked, sort=name, descending=True))) == everything, name
        if info.kind == "number":
            assert sum(row["n"] for row in queries.histogram(reader, asked, name, 5)) <= everything, name
            queries.number_range(reader, name, asked.target)
        elif info.kind in ("category", "bool"):
            assert queries.category_values(reader, name), name


def _ask_vectors(reader: RunReader, asked: SampleQuery, ids: list[int]) -> None:
    """Maps are finite; features, embeddings and patches belong to samples of the run, where there are any."""
    maps = reader.maps([(i, asked.target) for i in ids], asked.modality)
    assert {key[0] for key in maps} == set(ids)
    assert all(np.isfinite(values).all() and len(values) for values in maps.values())
    got, vectors = members.features_of(reader, ids, asked.target, asked.modality)
    assert set(got.tolist()) <= set(ids) and len(vectors) == len(got)
    got, vectors = members.embeddings_of(reader, ids, asked.modality)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), np.ones(len(got)), atol=1e-5)
    assert set(members.patches_of(reader, ids, asked.target)) <= set(ids)
