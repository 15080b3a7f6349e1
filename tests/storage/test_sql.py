"""A user's own SQL reads the run and nothing else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from storage import StoreError, queries
from tests.storage import audit

ALL = audit.explained_ids(0, 1, 2, 3)


def test_a_query_gives_rows_and_ids(reader) -> None:
    text = "SELECT sample_id, label FROM samples WHERE label = 'cat' ORDER BY sample_id DESC; "
    wanted = [i for i in ALL if audit.sample(i)["label"] == "cat"]
    assert queries.run_sql(reader, text).to_pylist() == [{"sample_id": i, "label": "cat"} for i in wanted[::-1]]
    assert len(queries.run_sql(reader, text, rows=3)) == 3
    assert queries.sql_ids(reader, text).tolist() == wanted


@pytest.mark.parametrize(
    "text",
    [
        "WITH few AS (SELECT * FROM samples) SELECT sample_id FROM few -- a comment",
        "FROM samples SELECT sample_id",
        "SELECT s.sample_id FROM samples s JOIN explanations e USING (sample_id)",
        "SELECT unnest([0, 1, 2]) AS sample_id",
        "SELECT sample_id FROM samples WHERE sample_id IN (SELECT sample_id FROM explanations)",
        "SELECT i::INTEGER AS sample_id FROM range(3) t(i) UNION ALL SELECT NULL",
    ],
)
def test_every_kind_of_select_is_allowed(reader, text: str) -> None:
    found = queries.sql_ids(reader, text).tolist()
    assert found == (ALL if "samples" in text else [0, 1, 2])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        (";", "empty"),
        ("SELEC 1", "not understood"),
        ("DROP VIEW samples", "one SELECT"),
        ("SELECT 1; DROP VIEW samples", "one SELECT"),
        ("CREATE TABLE x AS SELECT 1", "one SELECT"),
        ("COPY samples TO '/tmp/out.csv'", "one SELECT"),
        ("ATTACH ':memory:' AS x", "one SELECT"),
        ("SET threads = 1", "one SELECT"),
        ("PRAGMA database_list", "one SELECT"),
        ("SELECT * FROM '/etc/passwd'", "no table '/etc/passwd'"),
        ("SELECT * FROM read_text('/etc/passwd')", "read_text"),
        ("SELECT (SELECT content FROM read_text('run.json')) AS sample_id", "read_text"),
        ("SELECT sample_id FROM samples WHERE uri IN (SELECT file FROM glob('/*'))", "glob"),
        ("SELECT * FROM duckdb_settings()", "duckdb_settings"),
        ("SELECT * FROM query('DROP VIEW samples')", "query"),
        ("SELECT * FROM information_schema.tables", "information_schema.tables"),
        ("SELECT * FROM smaples", "did you mean 'samples'"),
        ("SELECT nothing FROM samples", "nothing"),
        ("SELECT 1) UNION (SELECT 2", "not understood"),
    ],
)
def test_nothing_else_is(reader, text: str, why: str) -> None:
    with pytest.raises(StoreError, match=why):
        queries.run_sql(reader, text)
    assert queries.sql_ids(reader, "SELECT sample_id FROM samples").tolist() == ALL
    assert not Path("/tmp/out.csv").exists()


def test_ids_need_their_column_and_whole_numbers(reader) -> None:
    with pytest.raises(StoreError, match=r"no column 'sample_id'.*label"):
        queries.sql_ids(reader, "SELECT label FROM samples")
    with pytest.raises(StoreError, match="failed"):
        queries.sql_ids(reader, "SELECT 'x' AS sample_id")


def test_a_long_query_is_stopped_and_others_go_on(reader) -> None:
    start = time.monotonic()
    with pytest.raises(StoreError, match=r"stopped after 0\.3 seconds"):
        queries.run_sql(reader, "SELECT count(*) FROM range(100000000) a, range(100000) b", seconds=0.3)
    assert time.monotonic() - start < 20
    assert len(queries.run_sql(reader, "SELECT * FROM samples", rows=2)) == 2
