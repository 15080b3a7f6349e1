"""Evaluation results: written, read back, refused, damaged."""

from __future__ import annotations

from typing import Any

import pytest

from storage import RunReader, StoreError, about_faithfulness, read_faithfulness, write_faithfulness

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
