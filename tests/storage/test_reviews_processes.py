"""Several processes give verdicts at once, and some are killed."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import VERDICTS, Reviews
from tests.storage.review_places import PLACES, place

ROOT = Path(__file__).resolve().parents[2]
WRITERS, EACH = 4, 50


@pytest.fixture(params=PLACES)
def url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    with place(request.param) as found:
        yield found


def start(store: Path, url: str | None, counts: dict[str, int]) -> dict[str, subprocess.Popen[str]]:
    """A process for each reviewer, ready to write so many verdicts at a sign."""
    command = [sys.executable, "-m", "tests.storage.process_review", str(store), url or "-"]
    started = {
        reviewer: subprocess.Popen(
            [*command, reviewer, str(count)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for reviewer, count in counts.items()
    }
    assert {process.stdout.readline() for process in started.values()} == {"ready\n"}
    return started


def go(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()


def ids(printed: str) -> list[int]:
    """The whole lines: a killed process may leave a piece of one."""
    return [int(line) for line in printed.split("\n")[:-1]]


def test_processes_write_at_once(tmp_path: Path, url: str | None) -> None:
    """From nothing: they also make the tables at the same time."""
    writers = start(tmp_path, url, {f"reviewer {n}": EACH for n in range(WRITERS)})
    go(*writers.values())
    printed = {name: ids(process.communicate(timeout=60)[0]) for name, process in writers.items()}
    assert {process.returncode for process in writers.values()} == {0}

    reviews = Reviews.open(tmp_path, url)
    history = reviews.history("run")
    assert [entry.id for entry in history] == list(range(1, WRITERS * EACH + 1))
    for name, said in printed.items():
        mine = [entry for entry in history if entry.reviewer == name]
        assert [entry.id for entry in mine] == said
        assert [entry.note for entry in mine] == [f"{name} {k}" for k in range(EACH)]
        assert [entry.verdict for entry in mine] == [VERDICTS[k % 3] for k in range(EACH)]
    assert len(reviews.standing("run")) == WRITERS * 7
    reviews.close()


def test_a_killed_writer_loses_nothing_it_confirmed(tmp_path: Path, url: str | None) -> None:
    confirmed: dict[str, list[int]] = {}
    processes = start(tmp_path, url, {"victim 0": 5000, "other 0": 20, "victim 1": 5000, "other 1": 20})
    for n, told in ((0, 5), (1, 12)):
        victim, other = processes[f"victim {n}"], processes[f"other {n}"]
        go(victim, other)
        seen = [int(victim.stdout.readline()) for _ in range(told)]
        victim.send_signal(signal.SIGKILL)
        confirmed[f"victim {n}"] = seen + ids(victim.communicate()[0])
        confirmed[f"other {n}"] = ids(other.communicate(timeout=60)[0])
        assert (victim.returncode, other.returncode) == (-signal.SIGKILL, 0)

    reviews = Reviews.open(tmp_path, url)
    history = reviews.history("run")
    assert [entry.id for entry in history] == sorted({entry.id for entry in history})
    for name, said in confirmed.items():
        mine = [entry for entry in history if entry.reviewer == name]
        assert [entry.id for entry in mine][: len(said)] == said
        assert len(mine) - len(said) in {0, 1}  # killed after it was stored, before it was said
        assert [entry.note for entry in mine] == [f"{name} {k}" for k in range(len(mine))]
    assert reviews.give_verdict("run", "s", "unsure", "ann").id == history[-1].id + 1
    reviews.close()
    if url is None:
        with sqlite3.connect(tmp_path / "reviews.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
