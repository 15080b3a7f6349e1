"""`compare` as real processes, on a store of two small runs that needs no model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from storage import Store
from tests.jobs.processes import Start
from tests.storage.test_compare import row, write

N = 30


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one dataset, and one of another."""
    folder = tmp_path_factory.mktemp("compare") / "audits"
    made = Store.open(folder, create=True)
    write(made, "before", [row(i, 1) for i in range(N)])
    write(made, "after", [row(i, 2) for i in range(N)], method="rollout")
    write(made, "elsewhere", [{**row(i, 1), "uri": f"other/{i}"} for i in range(4)], fingerprint="other")
    return folder


def test_the_document_holds_moved_samples_and_a_summary(start: Start, store: Path) -> None:
    command = start("compare", "before", "after", "--store", store, "--top", 7, "--json")
    assert command.wait() == 0, command.stderr.read_text()
    document: dict[str, Any] = json.loads(command.stdout.read_text())
    assert command.stderr.read_text() == ""
    moved, summary = document["moved"], document["summary"]
    assert len(moved) == 7 and summary["n_common"] == N
    assert [r["moved"] for r in moved] == sorted((r["moved"] for r in moved), reverse=True)
    for one in moved:
        a, b = row(one["sample_id"], 1), row(one["sample_id"], 2)
        assert (one["uri"], one["label"]) == (a["uri"], a["label"])
        assert (one["predicted_a"], one["predicted_b"]) == (a["predicted"], b["predicted"])
        assert one["confidence_change"] == pytest.approx(b["confidence"] - a["confidence"], abs=1e-6)
        assert one["mask_share_change"] == pytest.approx(b["mask_share"] - a["mask_share"], abs=1e-6)
        assert {"similarity", "border_share_a", "entropy_b", "box_share_a", "correct_a"} <= one.keys()
    assert document["differences"] == [{"setting": "method", "a": "gae", "b": "rollout"}]
    assert all(not r["correct_b"] for r in document["became_wrong"])
    assert len(document["left_object"]) == min(7, summary["left_object"])


def test_people_read_sentences_and_a_table(start: Start, store: Path) -> None:
    command = start("compare", "before", "after", "--store", store)
    assert command.wait() == 0, command.stderr.read_text()
    said = command.stdout.read_text()
    assert f"{N} samples are in both runs" in said and "method: gae -> rollout" in said
    assert "left the object (masks) though the prediction stayed right" in said and "on the object" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["before", "aftr"], "did you mean 'after'"),
        (["before", "before"], "cannot be compared with itself"),
        (["before", "elsewhere"], "no sample in common"),
        (["before", "after", "--target", "lable"], "lable"),
        (["before", "after", "--top", "0"], "--top 0"),
        (["before", "after", "--threshold", "2"], "--threshold 2"),
    ],
)
def test_wrong_use_is_one_line(start: Start, store: Path, arguments: list[str], words: str) -> None:
    command = start("compare", *arguments, "--store", store)
    assert command.wait() == 2
    error = command.stderr.read_text()
    assert words in error and error.startswith("error: ") and error.count("\n") == 1
    assert command.stdout.read_text() == ""
