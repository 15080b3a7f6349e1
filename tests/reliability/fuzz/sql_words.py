"""Pieces of queries of people who want more: `{p}` is a path, `{n}` a setting, `{i}` a number, `@` a query."""

from __future__ import annotations

# `{out}` is the folder of the canary, `{run}` that of the run, which the connection may read
PATHS = (
    "{out}/secret.csv", "{out}/secret.txt", "{out}/*", "{run}/run.json", "{run}/parts/*.parquet", "/etc/passwd",
    "{run}/../../../out/secret.csv", "run.json", "/proc/self/environ", "file://{out}/secret.csv", "{out}/new.csv",
    "http://127.0.0.1:9/x.csv", "s3://bucket/x.parquet", "{out}/new.duckdb", "{run}/segments/0000.duckdb",
)  # fmt: skip
STATEMENTS = (
    "ATTACH '{p}' AS x", "ATTACH ':memory:' AS x; SELECT 1", "COPY samples TO '{p}'",
    "COPY (SELECT 1) TO '{p}' (FORMAT csv)", "CREATE TABLE x AS SELECT * FROM read_csv('{p}')",
    "CREATE VIEW x AS SELECT 1", "INSERT INTO samples SELECT 1", "INSTALL httpfs", "LOAD '{p}'",
    "PRAGMA database_list", "PRAGMA show_tables", "SET threads = 1", "RESET ALL", "SET enable_external_access = true",
    "EXPORT DATABASE '{p}'", "IMPORT DATABASE '{p}'", "DETACH memory", "USE memory", "CALL pragma_version()",
    "EXPLAIN ANALYZE SELECT 1", "PREPARE x AS SELECT 1", "EXECUTE x", "BEGIN", "CHECKPOINT", "VACUUM",
    "DROP VIEW samples", "UPDATE samples SET label = 1", "DELETE FROM samples", "CREATE MACRO f(x) AS x",
    "CREATE SECRET s (TYPE s3, KEY_ID 'k', SECRET 'x')", "SHOW DATABASES", "SHOW ALL TABLES",
    "SHOW TABLES FROM memory", "DESCRIBE '{p}'", "SUMMARIZE samples", "SUMMARIZE '{p}'", "FORCE INSTALL json",
    "COMMENT ON VIEW samples IS 'x'", "MERGE INTO samples USING explanations ON true WHEN MATCHED THEN DELETE",
    "PIVOT samples ON label", "VALUES (1)",
)  # fmt: skip
SOURCES = (
    "samples", "explanations", "samples s JOIN explanations e USING (sample_id)", "'{p}'", '"{p}"', "x.y.z",
    "information_schema.tables", "pg_catalog.pg_settings", "sqlite_master", "duckdb_settings", "_tail_failures",
    "range(5)", "unnest([1, 2])", "(SELECT * FROM samples)", "(DESCRIBE samples)", "(SHOW DATABASES)", "main.samples",
    "memory.main.samples", "query('SELECT * FROM ''{p}''')", "query_table('{p}')", "parquet_scan(['{p}'])",
    "segment_0000.main.samples", "read_text(getvariable('x'))", "(COPY samples TO '{p}')", "LATERAL read_text('{p}')",
    "samples AT (VERSION => 1)", "samples TABLESAMPLE 10%", "(VALUES (1)) t(x)", "generate_series(1, 10)",
)  # fmt: skip
VALUES = (
    "sample_id", "label", "*", "1", "current_setting('{n}')", "'{n}'.current_setting()", "getenv('HOME')",
    "COLUMNS('.*')", "[1].apply(lambda x: current_setting('{n}'))", "pg_get_viewdef({i})",
    "json_serialize_plan('SELECT 1')", "version()", "(SELECT content FROM read_text('{p}') LIMIT 1)", "write_log('x')",
    "sleep_ms(1)", "current_query()", "nextval('x')", "json_serialize_sql('SELECT 1')", "getvariable('x')", "'{p}'",
    "x -> x", "error('{p}')", "'{p}'::INTEGER", "list_aggregate([1], 'sum')", "TRY_CAST('{p}' AS JSON)", "count(*)",
    "(SELECT 1)", "$1", "?", "CAST(1 AS {p})",
)  # fmt: skip
PLAIN_SOURCES = (
    "samples", "explanations e JOIN samples s USING (sample_id)", "range(5) t(sample_id)", "(SELECT * FROM samples)",
)  # fmt: skip
PLAIN_VALUES = (
    "sample_id", "sample_id, 1 AS one", "count(*) AS sample_id", "*", "max(sample_id) AS sample_id, 'x' AS x",
)  # fmt: skip
# each would take minutes or many gigabytes; the first ones cannot even be interrupted
HEAVY = (
    "SELECT levenshtein(repeat('a', 60000), repeat('b', 60000))", "SELECT repeat('x', 30000000) FROM range(500)",
    "SELECT len(range(1000000000))", "SELECT count(*) FROM range(10000000000) a, range(10000000000) b",
    "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t) SELECT max(x) FROM t",
    "SELECT length(lpad('x', 400000000, 'ab')) FROM range(50)", "SELECT list_sort(range(60000000))",
    "SELECT * FROM range(3000000000) t(i) ORDER BY hash(i)", "SELECT repeat('x', 1000000) FROM range(1000)",
)  # fmt: skip
DEEP = (
    ("(", "1", ")"), ("NOT ", "true", ""), ("(SELECT ", "1", ")"), ("[", "1", "]"), ("-", "1", ""),
    ("CASE WHEN true THEN ", "1", " END"), ("1 + ", "1", ""), ("{'a': ", "1", "}"), ("list_value(", "1", ")"),
)  # fmt: skip
WRAPS = (
    "@", "@", "@;", "@ -- x", "@ /* x */", "/* */ @", "SELECT 1; @", "@; SELECT 1", "SELECT * FROM (@)",
    "@\n) UNION (SELECT 1", "WITH x AS (@) SELECT * FROM x", "WITH x AS (SELECT 1) @", "SELECT (@) AS sample_id",
    "SELECT 1 UNION ALL @", "(@)", "SELECT sample_id FROM samples WHERE label IN (@)", "EXPLAIN @",
    "SELECT 1 WHERE EXISTS (@)", "@ LIMIT (SELECT 1)", 'WITH x AS (@), "{p}" AS (SELECT 1) SELECT * FROM x',
    "WITH RECURSIVE x AS (@ UNION ALL SELECT * FROM x) FROM x", "FROM (@) SELECT *", "SELECT 1 ORDER BY (@)",
    "SELECT unnest([(@)])", "PREPARE p AS @", "CREATE TABLE t AS @",
)  # fmt: skip
