"""Visitors in real browsers while a job writes, in small; and that the checker of the load test sees what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.cli import main
from tests.dashboard.conftest import require_chromium
from tests.reliability.load.checks import Verdict, check, names, told
from tests.reliability.load.committed import Window, committed_parts
from tests.reliability.load.holding import Load, hold, problems
from tests.reliability.load.reading import Seen
from tests.reliability.load.ready import make_ready
from tests.reliability.load.truth import Question, Truth

PART = 4
ADDRESS = "http://x/samples?v=1&run=live&sort=entropy&order=desc&size=24"


@pytest.fixture
def truth() -> Truth:
    """Twelve samples in three parts; number 5 failed."""
    rows = {
        i: {
            "sample_id": i, "label": "cat" if i % 3 else "dog", "predicted": "cat", "correct": bool(i % 3),
            "confidence": 0.5 + i / 100, "entropy": (i * 7 % 12) / 12,
        }
        for i in range(12) if i != 5
    }  # fmt: skip
    return Truth(rows, {}, [], 12, PART)


def page(truth: Truth, ids: list[int], matches: int, total: int) -> Seen:
    """The Samples page with these tiles and numbers."""
    pictures = [
        {
            "address": f"http://x/sample?run=live&sample={i}",
            "said": f"Sample {i}, {names(truth.rows[i])}",
            "below": [names(truth.rows[i]), told(truth.rows[i], "entropy")],
        }
        for i in ids
    ]
    return Seen(ADDRESS, "Samples", {}, [f"{matches} of {total}"], [], [], pictures, [], [], [])


def checked(truth: Truth, seen: Seen, first: int, last: int) -> Verdict:
    return check(seen, truth, Window(first, last))


def test_a_right_page_of_any_moment_of_the_window_passes(truth: Truth) -> None:
    asked = Question.of(ADDRESS)
    for moment, explained in ((1, 4), (2, 7), (3, 11)):
        seen = page(truth, truth.matching(asked, moment), explained, explained)
        verdict = checked(truth, seen, 1, 3)
        assert (verdict.wrong, verdict.mixed, verdict.rows) == ([], [], explained)
        if moment > 1:  # but not before it was committed
            assert checked(truth, seen, 1, moment - 1).wrong


def test_the_checker_sees_what_is_wrong(truth: Truth) -> None:
    ids = truth.matching(Question.of(ADDRESS), 2)
    swapped = [ids[1], ids[0], *ids[2:]]
    assert checked(truth, page(truth, swapped, 7, 7), 1, 3).wrong == ["tiles: right at no moment from 1 to 3 parts"]
    assert checked(truth, page(truth, ids, 6, 7), 1, 3).wrong == ["matches: right at no moment from 1 to 3 parts"]
    other = page(truth, ids, 7, 7)
    other.pictures[2]["below"] = ["bird", other.pictures[2]["below"][1]]
    assert "bird" in checked(truth, other, 1, 3).wrong[0]
    failed = page(truth, ids, 7, 7)
    failed.pictures[0]["address"] = "http://x/sample?run=live&sample=5"
    assert "sample 5 is shown, but it failed" in checked(truth, failed, 1, 3).wrong


def test_pieces_of_different_moments_are_told_apart(truth: Truth) -> None:
    ids = truth.matching(Question.of(ADDRESS), 2)
    verdict = checked(truth, page(truth, ids, 7, 11), 1, 3)
    assert not verdict.wrong and verdict.mixed == [
        "tiles is of [2] parts; matches is of [2] parts; total is of [3] parts"
    ]


def test_parts_are_counted_once(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "segments").mkdir()
    assert committed_parts(tmp_path) == 0
    for number in (1, 2, 3):
        (tmp_path / f"parts/{number:05d}.json").write_text("{}")
    with pytest.raises(AssertionError, match="not the first ones"):
        committed_parts(tmp_path)
    (tmp_path / "segments/0000.json").write_text('{"parts": [0, 1]}')
    assert committed_parts(tmp_path) == 4


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.alone
def test_three_visitors_see_nothing_wrong_while_a_job_writes(tmp_path: Path) -> None:
    require_chromium()
    ready = make_ready(tmp_path, samples=120, part=PART, call=lambda command: main(command[3:]))
    assert len(ready.truth.rows) == 119, "one picture is broken"
    rows = hold(ready, Load(sessions=3, minutes=0.2, pause=0.2, seed=7), tmp_path, lambda line: None)
    assert problems(rows[0]) == []
    assert rows[0]["pages_checked"] >= 3 and rows[0]["rows_checked"] > 0 and rows[0]["parts_written"] > 0
