"""Evaluation results: written, read back, put beside others, refused, damaged."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage import RunReader, StoreError, about_faithfulness, merge_faithfulness, read_faithfulness, write_faithfulness

ROWS: list[dict[str, Any]] = [
    {
        "method": "gae",
        "modality": "image",
        "test": "positive",
        "curve": {"steps": [0.0, 0.5, 1.0], "values": [0.9, 0.3, 0.1]},
        "auc": 0.4,
        "n": 50,
    },
    {
        "method": "gae",
        "modality": "image",
        "test": "pointing",
        "curve": {"steps": [], "values": []},
        "auc": 0.7,
        "n": 9,
    },
]


def test_round_trip(reader: RunReader) -> None:
    reader.run.faithfulness.unlink(missing_ok=True)
    assert (read_faithfulness(reader.run), about_faithfulness(reader.run)) == ([], {})
    write_faithfulness(reader.run, ROWS, {"seed": 3})
    assert read_faithfulness(reader.run) == ROWS
    assert about_faithfulness(reader.run) == {"seed": 3}
    write_faithfulness(reader.run, [{**ROWS[0], "auc": None}], {})
    assert read_faithfulness(reader.run)[0]["auc"] is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"curve": {"steps": [0.0], "values": []}}, "1 steps and 0 values"),
        ({"curve": {**ROWS[0]["curve"], "low": [0.1]}}, "3 values and 1 of their interval's low ends"),
        ({"n": "many"}, "does not fit its columns"),
        ({"method": None}, "does not fit its columns"),
    ],
)
def test_a_bad_row_is_refused_and_the_old_results_stay(reader: RunReader, change: dict[str, Any], words: str) -> None:
    write_faithfulness(reader.run, ROWS, {})
    with pytest.raises(StoreError, match=words):
        write_faithfulness(reader.run, [{**ROWS[0], **change}], {})
    assert read_faithfulness(reader.run) == ROWS


def test_a_damaged_file_says_what_makes_it_anew(reader: RunReader) -> None:
    reader.run.faithfulness.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(StoreError, match="evaluating the run again"):
        read_faithfulness(reader.run)
    reader.run.faithfulness.unlink()


WITH_INTERVALS: dict[str, Any] = {
    **ROWS[0],
    "curve": {**ROWS[0]["curve"], "low": [0.8, 0.2, 0.0], "high": [1.0, 0.4, 0.2]},
    "auc_low": 0.35,
    "auc_high": 0.45,
    "skipped": {"the map is NaN": 2},
    "protocol": "vit",
    "details": {"stages": ["head", "blocks.0"], "reacts": False},
}


def test_intervals_and_details_come_back_and_what_was_not_given_is_absent(reader: RunReader) -> None:
    write_faithfulness(reader.run, [WITH_INTERVALS, ROWS[1]], {})
    assert read_faithfulness(reader.run) == [WITH_INTERVALS, ROWS[1]]
    beside = {**ROWS[0], "low": [0.8, 0.2, 0.0], "high": [1.0, 0.4, 0.2]}
    write_faithfulness(reader.run, [beside], {})
    assert read_faithfulness(reader.run)[0]["curve"] == WITH_INTERVALS["curve"]


def test_a_file_without_the_optional_columns_is_read(reader: RunReader) -> None:
    """As the version before intervals wrote it."""
    flat = [{**{k: v for k, v in row.items() if k != "curve"}, **row["curve"]} for row in ROWS]
    table = pa.Table.from_pylist(flat).replace_schema_metadata({"about": json.dumps({"seed": 3})})
    assert set(table.column_names) == {"method", "modality", "test", "steps", "values", "auc", "n"}
    pq.write_table(table, reader.run.faithfulness)
    assert read_faithfulness(reader.run) == ROWS and about_faithfulness(reader.run) == {"seed": 3}


def test_merging_replaces_the_same_rows_and_keeps_the_others(reader: RunReader) -> None:
    reader.run.faithfulness.unlink(missing_ok=True)
    merge_faithfulness(reader.run, ROWS, {"samples": 50, "seed": 1})
    merge_faithfulness(reader.run, [WITH_INTERVALS], {"seed": 2})
    assert read_faithfulness(reader.run) == [*ROWS, WITH_INTERVALS]  # another protocol is another row
    again = {**WITH_INTERVALS, "auc": 0.1}
    merge_faithfulness(reader.run, [again, {**ROWS[1], "n": 10}], {})
    assert read_faithfulness(reader.run) == [ROWS[0], again, {**ROWS[1], "n": 10}]
    assert about_faithfulness(reader.run) == {"samples": 50, "seed": 2}


def test_merging_with_a_bad_row_or_a_damaged_file(reader: RunReader) -> None:
    write_faithfulness(reader.run, ROWS, {})
    with pytest.raises(StoreError, match="does not fit"):
        merge_faithfulness(reader.run, [{**ROWS[0], "n": "many"}], {})
    assert read_faithfulness(reader.run) == ROWS
    whole = reader.run.faithfulness.read_bytes()
    reader.run.faithfulness.write_bytes(whole[: len(whole) // 2] + whole[-200:])
    merge_faithfulness(reader.run, ROWS[:1], {})
    assert read_faithfulness(reader.run) == ROWS[:1]


def test_evaluations_at_once_lose_nothing(reader: RunReader) -> None:
    reader.run.faithfulness.unlink(missing_ok=True)
    rows = [{**ROWS[0], "method": f"method {number}"} for number in range(12)]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda row: merge_faithfulness(reader.run, [row], {}), rows))
    assert {row["method"] for row in read_faithfulness(reader.run)} == {row["method"] for row in rows}
    reader.run.faithfulness.unlink()
