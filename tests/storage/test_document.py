"""docs/schema.md: complete, up to date, and its SQL runs as printed."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from storage import RunReader, Store
from storage.document import DOCUMENT, documented_tables, updated
from tests.storage import audit

TEXT = DOCUMENT.read_text()
EXAMPLES = re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)


def test_document_is_up_to_date() -> None:
    assert updated(TEXT) == TEXT, "run: python -m storage.document"


@pytest.mark.parametrize("table", documented_tables())
def test_every_column_is_documented_with_type_unit_and_meaning(table: str) -> None:
    block = re.search(rf"<!-- columns of {re.escape(table)} -->\n(.*?)<!-- end -->", TEXT, re.DOTALL)
    assert block, f"{table} has no section"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block[1].splitlines()[2:]]
    assert all(len(row) == 4 and all(row) for row in rows)
    assert [row[0].strip("`") for row in rows] == [c.name.split()[0] for c in documented_tables()[table]]


def test_every_table_of_a_run_is_documented(reader: RunReader) -> None:
    """What the views really are, against what the document says."""
    views = [r["view_name"] for r in reader.query("SELECT view_name FROM duckdb_views() WHERE NOT internal")]
    assert len(views) >= 9
    for view in views:
        table = re.sub(r"_\d+$", "_<d>" if view.startswith(("features", "patches", "embedding")) else "_<n>", view)
        columns = {c.name.split()[0]: c for c in documented_tables()[table]}
        for row in reader.query(f"SELECT * FROM (DESCRIBE {view})"):
            if view == "samples" and row["column_name"] in {m["column"] for m in audit.METADATA}:
                continue
            column = columns[row["column_name"]]
            kind = re.sub(r"\d+", "N", row["column_type"]) if column.name.startswith("vec") else row["column_type"]
            assert kind == ("FLOAT[N]" if column.name.startswith("vec") else column.sql_type), (view, row)


def test_examples_run_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store.open("audits", create=True)
    with store.writer("demo", audit.record()) as writer:
        audit.commit(writer, 0, 1, 2)
        writer.seal()
        audit.commit(writer, 3)
    assert len(EXAMPLES) >= 9
    answers = []
    with duckdb.connect() as con:
        for example in EXAMPLES:
            answers.append(con.execute(example).fetchall())
    assert answers[0] == [(len(audit.explained_ids(0, 1, 2)),)]
    assert all(answers), [sql for sql, rows in zip(EXAMPLES, answers, strict=True) if not rows]
    tail = next(rows for sql, rows in zip(EXAMPLES, answers, strict=True) if "read_parquet" in sql)
    assert sum(n for _, n in tail) == len(audit.explained_ids(3))  # not also the parts that are sealed
    assert (tmp_path / "explanations.csv").stat().st_size > 1000


def test_python_example_runs_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store.open("audits", create=True)
    with store.writer("demo", audit.record()) as writer:
        audit.commit(writer, 0)
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict = {}
    exec(example, names)
    assert set(names["run"].maps([(0, "predicted"), (1, "predicted")], "image")) == {(0, "predicted"), (1, "predicted")}
