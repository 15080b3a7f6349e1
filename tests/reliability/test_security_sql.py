"""A visitor's SQL: attacks one by one, against a canary that proves that nothing is read, written, or told."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import pytest

from storage import StoreError, queries
from storage.queries import sql_process, sql_rules
from storage.queries.sql_pool import POOL
from tests.reliability.fuzz.sql_box import RECORD, SECRET, check, place
from tests.reliability.fuzz.sql_words import HEAVY, PATHS
from tests.reliability.fuzz.target import REFUSED, RIGHT

ATTACKS = (
    "SELECT * FROM read_csv('{p}')", "SELECT * FROM read_csv_auto('{p}')", "SELECT * FROM sniff_csv('{p}')",
    "SELECT * FROM read_text('{p}')", "SELECT * FROM read_blob('{p}')", "SELECT * FROM read_json('{p}')",
    "SELECT * FROM read_json_auto('{p}')", "SELECT * FROM read_ndjson('{p}')", "SELECT * FROM read_parquet('{p}')",
    "SELECT * FROM parquet_scan('{p}')", "SELECT * FROM parquet_metadata('{p}')",
    "SELECT * FROM parquet_schema('{p}')", "SELECT * FROM glob('{p}')", "SELECT * FROM duckdb_secrets('{p}')",
    "SELECT * FROM query_table('{p}')", "SELECT * FROM '{p}'", 'SELECT * FROM "{p}"', "FROM '{p}'", "TABLE '{p}'",
    "DESCRIBE '{p}'", "SUMMARIZE '{p}'", "SELECT (SELECT content FROM read_text('{p}')) AS sample_id",
    "SELECT 1 FROM samples, LATERAL read_text('{p}')", "SELECT 1 WHERE EXISTS (FROM read_text('{p}'))",
    "SELECT 1 ORDER BY (SELECT content FROM read_text('{p}'))", 'WITH x AS (FROM "{p}"), "{p}" AS (SELECT 1) FROM x',
    'WITH "{p}" AS (SELECT * FROM "{p}") SELECT * FROM "{p}"',
    'SELECT * FROM (WITH "{p}" AS (SELECT 1) SELECT 1) t, "{p}"', 'FROM main."{p}"',
    'WITH "{p}" AS (SELECT 1) FROM main."{p}"', "PIVOT '{p}' ON a", "FROM (PIVOT '{p}' ON a)",
    "SELECT COLUMNS(x -> true) FROM '{p}'", "FROM query('FROM ''{p}''')", "SELECT 1; FROM '{p}'",
    "SELECT 1) t; FROM '{p}'; FROM (SELECT 1", "SELECT 1 /* */ UNION ALL FROM/**/'{p}'", "COPY samples TO '{p}'",
    "COPY (FROM samples) TO '{p}' (FORMAT parquet)", "EXPORT DATABASE '{p}'", "ATTACH '{p}' AS x",
    "CREATE TABLE x AS FROM '{p}'", "CREATE OR REPLACE VIEW samples AS FROM '{p}'", "LOAD '{p}'", "INSTALL '{p}'",
    "IMPORT DATABASE '{p}'", "SET temp_directory = '{p}'", "PRAGMA temp_directory = '{p}'", "SET VARIABLE x = '{p}'",
    "EXECUTE x('{p}')", "PREPARE x AS FROM '{p}'", "EXPLAIN ANALYZE FROM '{p}'", "COMMENT ON VIEW samples IS '{p}'",
)  # fmt: skip
TELLING = (
    "current_setting('temp_directory')", "'allowed_directories'.current_setting()",
    "\"CURRENT_SETTING\"('secret_directory')", "[1].apply(lambda x: current_setting('allowed_directories'))",
    "list_transform([1], lambda x: getvariable('x'))", "pg_get_viewdef(1)",
    "system.main.current_setting('temp_directory')", "pg_catalog.pg_get_viewdef(1)", "getenv('HOME')",
    "write_log('x')", "setseed(0.5)", "sleep_ms(1)", "pg_sleep(1)", "nextval('x')", "current_query()",
    "query('FROM samples')",
)  # fmt: skip


def test_the_canary_sings() -> None:
    """What no query may give is what an unguarded connection gives."""
    _, out = place()
    with duckdb.connect() as con:
        found = con.execute(f"FROM read_csv('{out}/secret.csv')").fetchall()
    assert SECRET in str(found) and RECORD in (place()[0].run.folder / "run.json").read_text()


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_file_is_read_or_written(attack: str) -> None:
    for path in PATHS:
        assert check(attack.replace("{p}", path)) == REFUSED


@pytest.mark.parametrize("call", TELLING)
def test_nothing_tells_of_the_server(call: str) -> None:
    with pytest.raises(StoreError, match=r"calls|failed|not understood"):
        queries.run_sql(place()[0], f"SELECT {call} AS x FROM samples")


@pytest.mark.parametrize("source", ["SHOW DATABASES", "SHOW ALL TABLES", "SHOW TABLES", "SHOW TABLES FROM memory"])
def test_lists_of_what_is_attached_are_refused(source: str) -> None:
    for text in (source, f"SELECT * FROM ({source})"):
        with pytest.raises(StoreError, match="only the tables of the run"):
            queries.run_sql(place()[0], text)


def test_every_function_that_could_tell_or_change_something_is_refused() -> None:
    """Of those of the DuckDB that is installed: a newer one with more of them fails here and is looked at."""
    with duckdb.connect() as con:
        rows = con.execute("SELECT function_name, stability, macro_definition FROM duckdb_functions() "
                           "WHERE function_type IN ('scalar', 'macro', 'aggregate')").fetchall()  # fmt: skip
    telling = {name for name, _, body in rows if re.search(r"duckdb_|pg_catalog|SELECT|current_setting", body or "")}
    changing = {name for name, stability, _ in rows if stability in ("VOLATILE", "CONSISTENT_WITHIN_QUERY")}
    chance = {"random", "gen_random_uuid", "uuid", "uuidv4", "uuidv7", "vector_type"}
    moments = {"current_date", "get_current_time", "get_current_timestamp", "now", "today", "transaction_timestamp"}
    names = {"current_database", "current_schema"}  # 'memory' and 'main', always
    assert len(telling) > 3 and len(changing) > 20
    free = {name for name in telling | changing if not sql_rules.REFUSED.fullmatch(name)}
    assert free == chance | moments | names
    assert not any(
        sql_rules.REFUSED.fullmatch(name) for name in ("avg", "count", "lower", "list_sum", "regexp_matches")
    )


@pytest.mark.parametrize("text", ["SELECT count(*) FROM SAMPLES", "WITH a AS (SELECT 1 x), B AS (FROM A) FROM b",
                                  "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t WHERE x < 5) FROM t",
                                  "DESCRIBE samples", "VALUES (1)", "FROM main.samples"])  # fmt: skip
def test_what_is_harmless_still_runs(text: str) -> None:
    assert len(queries.run_sql(place()[0], text)) > 0


@pytest.mark.parametrize("text", HEAVY[:4])
def test_time_and_memory_end(text: str) -> None:
    """Also of what DuckDB cannot stop or does not count; this process takes none of it, and the next query runs."""
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(StoreError, match=r"stopped|memory|more than"):
        queries.run_sql(place()[0], text, rows=100_000, seconds=1.0)
    assert time.monotonic() - begun < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KB
    assert len(queries.run_sql(place()[0], "SELECT 1")) == 1


def test_people_wait_for_their_turn_and_all_are_answered() -> None:
    found: list[int] = []

    def ask(number: int) -> None:
        found.append(queries.run_sql(place()[0], f"SELECT {number} AS n").to_pylist()[0]["n"])

    asking = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert sorted(found) == list(range(8))


def test_the_process_has_no_environment_and_cannot_write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    POOL.close()
    queries.run_sql(place()[0], "SELECT 1")
    process = POOL._idle[-1]._process
    assert SECRET.encode() not in Path(f"/proc/{process.pid}/environ").read_bytes()
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    assert re.search(r"Max file size +0 +0 ", limits), limits
    assert re.search(r"Max data size +\d{9,10} ", limits), limits


def test_the_process_ends_with_the_server() -> None:
    """Nobody is left to ask: a server that was killed leaves no process behind, even while a query runs."""
    ask = json.dumps({"run": str(place()[0].run.folder), "text": HEAVY[0], "rows": 1, "seconds": 0.5}) + "\n"
    command = [sys.executable, "-m", "storage.queries.sql_process"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=sql_process_root()) as process:
        assert process.stdin is not None
        process.stdin.write(ask.encode())
        process.stdin.close()
        assert process.wait(60) in (0, 124, -13)


def sql_process_root() -> Path:
    return Path(os.path.dirname(sql_process.__file__)).parents[1]


def test_a_query_is_one_line_of_sane_length_in_errors() -> None:
    for text in ('SELECT * FROM "' + "x\n\x1b[31m" * 900 + '"', "SELECT " + "y" * 5000, "z" * 30_000):
        with pytest.raises(StoreError) as error:
            queries.run_sql(place()[0], text)
        assert len(str(error.value)) <= 1200 and "\n" not in str(error.value) and "\x1b" not in str(error.value)
    assert check("SELECT 1 AS sample_id") == RIGHT
