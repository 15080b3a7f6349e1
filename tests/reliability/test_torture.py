"""The torture, small, and its checker. The whole of it is `python -m tests.reliability.torture --kills 100`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.reliability.ground_truth import Truth, WrongRow
from tests.reliability.torture import torture


@pytest.mark.slow
def test_killed_in_several_phases_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """With a reading process beside it that finds no wrong row."""
    found = torture(tmp_path, 4, 11, pictures=62, dashboard=False, search=False)
    assert found["kills"] == 4 == sum(row["kills"] for row in found["rows"])
    assert found["samples_per_run"] == 61 and found["runs_finished"] >= 1
    (reader,) = found["onlookers"]
    assert reader["rows"] > 0 and reader["versions"] > 3 and reader["samples"]["whole-00"] == 61


def tables(**columns: list[Any]) -> dict[str, pa.Table]:
    return {"samples": pa.table({"sample_id": [0, 1], "score": [0.5, 0.25], "label": ["cat", None], **columns})}


def test_the_checker_sees_what_is_wrong() -> None:
    """A truth that nothing contradicts would prove nothing."""
    truth = Truth.of(tables())
    assert truth.check(tables(score=[0.5 + 1e-7, 0.25]), whole=True) == 2
    assert truth.check({"samples": tables()["samples"].slice(1)}) == 1
    wrong = [tables(score=[0.5, 0.2501]), tables(label=["cat", "dog"]), tables(sample_id=[0, 7])]
    for rows in wrong:
        with pytest.raises(WrongRow):
            truth.check(rows)
    with pytest.raises(WrongRow, match="twice"):
        truth.check(tables(sample_id=[1, 1]))
    with pytest.raises(WrongRow, match="lacks 1 rows"):
        truth.check({"samples": tables()["samples"].slice(1)}, whole=True)
    with pytest.raises(WrongRow, match="instead of"):
        truth.check({}, whole=True)
