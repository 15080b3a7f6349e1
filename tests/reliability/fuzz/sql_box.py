"""SQL of visitors who want more than rows: it never reads another file, writes, attaches, waits or tells of the server.

A file beside the store holds a secret, the run's own record another one, and the store lies in a folder with a name
that no input holds. Neither may come out, in rows or in errors, and no folder may change.
"""

from __future__ import annotations

import shutil
import time
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
from hypothesis import strategies as st

from storage import RunReader, Store, StoreError, queries
from tests.dashboard import samples_store
from tests.reliability.fuzz.dashboards import texts
from tests.reliability.fuzz.scratch import scratch
from tests.reliability.fuzz.sql_words import (
    DEEP,
    HEAVY,
    PATHS,
    PLAIN_SOURCES,
    PLAIN_VALUES,
    SOURCES,
    STATEMENTS,
    VALUES,
    WRAPS,
)
from tests.reliability.fuzz.target import REFUSED, RIGHT, Target, clear

SECRET, RECORD, PLACE = "canary-7f3a51", "canary-in-record-0b44", "hidden-place-91cd"
SECONDS, SLACK = 2.0, 35.0  # a query may take; a new process on a busy machine may take to start
FILES = ("secret.txt", "secret.csv", "secret.json")


@cache
def place() -> tuple[RunReader, Path]:
    """A run in a store whose folder is not named anywhere, and the folder of the canary."""
    base = scratch("sql")
    made = samples_store.write(base / "made")
    (base / PLACE).mkdir()
    shutil.move(made, base / PLACE / "store")
    record = base / PLACE / "store" / "runs" / samples_store.RUN / "run.json"
    record.write_text(record.read_text().replace('"synthetic"', f'"{RECORD}"'))
    out = base / "out"
    out.mkdir()
    for name in FILES:
        (out / name).write_text(f'{{"a": "{SECRET}"}}\n' if name.endswith("json") else f"a,b\n{SECRET},1\n")
    return Store.open(base / PLACE / "store").reader(samples_store.RUN), out


@cache
def functions() -> tuple[list[str], list[str], list[str]]:
    """All table functions, all other functions, and all settings of this DuckDB."""
    with duckdb.connect() as con:
        known = con.execute(
            "SELECT DISTINCT function_name, function_type FROM duckdb_functions() ORDER BY ALL"
        ).fetchall()
        settings = [row[0] for row in con.execute("SELECT name FROM duckdb_settings() ORDER BY 1").fetchall()]
    tables = [name for name, kind in known if kind in ("table", "table_macro", "pragma")]
    others = [name for name, kind in known if kind in ("scalar", "macro", "aggregate") and name[0].isalpha()]
    return tables, others, settings


def strategy() -> st.SearchStrategy[str]:
    """Queries, most of them nearly right."""
    tables, others, settings = functions()
    arguments = st.sampled_from(("'{p}'", "1", "sample_id", "[1, 2]", "NULL", "'{n}'", "{{'a': 1}}", "'x'"))
    calls = st.builds("{}({})".format, st.sampled_from(others), st.lists(arguments, max_size=3).map(", ".join))
    values = st.lists(st.one_of(st.sampled_from(VALUES), calls), min_size=1, max_size=3).map(", ".join)
    read = st.builds("{}({})".format, st.sampled_from(tables), st.sampled_from(("", "'{p}'", "1")))
    sources = st.one_of(st.sampled_from(SOURCES), read)
    easy, plain = st.sampled_from(PLAIN_VALUES), st.sampled_from(PLAIN_SOURCES)
    parts = st.one_of(*map(st.tuples, (easy, values, easy, values), (plain, plain, sources, sources)))
    selects = parts.map(lambda part: f"SELECT {part[0]} FROM {part[1]}")
    alone = calls.map(lambda call: f"SELECT {call} AS sample_id")
    queries_ = st.one_of(st.sampled_from(STATEMENTS), selects, selects, alone)
    wrapped = st.builds(str.replace, st.sampled_from(WRAPS), st.just("@"), queries_)
    filled = st.builds(_filled, wrapped, st.sampled_from(PATHS), st.sampled_from(settings), st.integers(0, 3000))
    strange = st.builds(_disturbed, filled, st.floats(0, 1), texts)
    deep = st.builds(lambda d, n: "SELECT " + d[0] * n + d[1] + d[2] * n, st.sampled_from(DEEP), st.integers(1, 700))
    simple = st.builds("SELECT {} FROM {}".format, easy, plain)
    light = st.one_of(simple, _disguised(simple), filled, filled, filled, _disguised(filled), strange, texts, deep)
    return st.integers(0, 999).flatmap(lambda n: st.sampled_from(HEAVY) if n < 3 else light)


def _filled(text: str, path: str, setting: str, number: int) -> str:
    filled = text.replace("{p}", path).replace("{n}", setting).replace("{i}", str(number))
    return filled.replace("{{", "{").replace("}}", "}")


def _disguised(made: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    changes = (str.upper, str.swapcase, lambda q: q.replace(" ", "/**/"), lambda q: q.replace(" ", "\u00a0"),
               lambda q: q.replace("'", "$$"), lambda q: q.replace("'", '"'), lambda q: f"({q})")  # fmt: skip
    return st.builds(lambda q, change: change(q), made, st.sampled_from(changes))


def _disturbed(query: str, at: float, text: str) -> str:
    place = int(at * len(query))
    return query[:place] + text[:200] + query[place:]


def check(case: str) -> str:
    """Ask, as the box and as a filter; look at what came out, and that nothing changed."""
    reader, out = place()
    run = str(reader.run.folder)
    text = case.replace("{out}", str(out)).replace("{run}", run)
    before, begun = _seen(out, reader.run.folder), time.monotonic()
    try:
        if len(case) % 2:
            said: Any = queries.run_sql(reader, text, rows=50, seconds=SECONDS).to_pylist()
        else:
            said = queries.sql_ids(reader, text, seconds=SECONDS).tolist()
        outcome = RIGHT
    except StoreError as error:
        said, outcome = str(error), REFUSED
        clear(said)
    except Exception as error:
        raise AssertionError(f"ended in {type(error).__name__}: {str(error)[:300]}") from error
    took = time.monotonic() - begun
    assert took < SECONDS + SLACK, f"took {took:.1f} s"
    shown = repr(said)
    assert SECRET not in shown and RECORD not in shown, f"gave a secret away: {shown[:300]}"
    assert PLACE in text or PLACE not in shown, f"told where the store lies: {shown[:300]}"
    assert _seen(out, reader.run.folder) == before, "changed files"
    return outcome


def _seen(*folders: Path) -> list[tuple[str, int, int]]:
    """Every file with its size and time."""
    found = [path for folder in folders for path in sorted(folder.rglob("*"))]
    return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in found]


TARGET = Target("sql_box", "SQL of visitors (storage/queries/sql.py)", strategy, check, share=4.0, quick=60,
                pinned=("SELECT " + "NOT " * 950 + "true", "SELECT '\ud800'",
                        "SELECT current_setting('temp_directory')",
                        'WITH a AS (FROM "{run}/run.json"), "{run}/run.json" AS (SELECT 1) FROM a'))  # fmt: skip
