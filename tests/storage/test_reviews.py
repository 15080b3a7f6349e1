"""Verdicts, tags, saved views and roles: kept exactly, appended only, refused clearly."""

from __future__ import annotations

import itertools
import random
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from storage import (
    ROLES,
    VERDICTS,
    Entry,
    Reviews,
    StoreError,
    StoreTooNew,
    agreement_of,
    team_verdict,
)
from storage.reviews import database, place
from storage.reviews.tables import metadata
from tests.storage.review_places import PLACES
from tests.storage.review_places import place as place_of

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reviews.md"
HOSTILE = [
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "'; DROP TABLE verdicts; --",
    '" OR "1"="1',
    "100% _ \\ :name ? %s %(x)s $1 {0}",
    "👩🏽‍🔬 emoji é é",
    "مرحبا \u202eevil\u202c שלום",
    " leading, trailing \t\r\n",
    "**bold** [link](javascript:alert(1)) $x^2$ :material/bolt:",
    "\x01\x1f\x7f\ufeff\uffff",
]


@pytest.fixture(params=PLACES)
def url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    with place_of(request.param) as found:
        yield found


@pytest.fixture
def reviews(tmp_path: Path, url: str | None) -> Iterator[Reviews]:
    opened = Reviews.open(tmp_path, url)
    yield opened
    opened.close()


def entry(suspect: str, reviewer: str, verdict: str, number: int = 1) -> Entry:
    return Entry(number, datetime.now(UTC), "run", suspect, reviewer, verdict, "", None)


# reading before anything was written


def test_reading_makes_nothing(reviews: Reviews, tmp_path: Path) -> None:
    assert reviews.writable
    assert (reviews.standing("run"), reviews.history("run"), reviews.views(), reviews.members()) == ([], [], [], [])
    assert (reviews.tags("run"), reviews.tags_of("run", [3]), reviews.tag_history("run")) == ({}, {3: ()}, [])
    assert reviews.tagged("run", "x").dtype == np.int64
    assert reviews.agreement("run").kappa is None
    assert reviews.role_of("ann", "reader") == "reader"
    assert reviews.version() == ("", 0)
    assert list(tmp_path.iterdir()) == []


# verdicts


def test_a_verdict_is_kept_as_given(reviews: Reviews, tmp_path: Path, url: str | None) -> None:
    before = datetime.now(UTC)
    given = reviews.give_verdict("run", "concept-1", "spurious", "ann", "the frame")
    assert (given.run, given.suspect, given.reviewer, given.verdict) == ("run", "concept-1", "ann", "spurious")
    assert (given.note, given.takes_back) == ("the frame", None)
    assert before <= given.at <= datetime.now(UTC)
    assert given.at.utcoffset() == timedelta(0)
    again = Reviews.open(tmp_path, url)
    assert again.standing("run") == again.history("run") == [given]
    assert again.standing("run")[0].at.utcoffset() == timedelta(0)
    assert again.standing("other") == []
    again.close()


def test_the_latest_verdict_of_each_reviewer_stands(reviews: Reviews) -> None:
    give = reviews.give_verdict
    first = give("run", "a", "unsure", "ann")
    others = [give("run", "a", "spurious", "bob"), give("run", "b", "core feature", "ann")]
    latest = give("run", "a", "spurious", "ann")
    other_run = give("run2", "a", "unsure", "ann")
    assert reviews.standing("run") == [*others, latest]
    assert reviews.history("run") == [first, *others, latest]
    assert reviews.history("run", "a") == [first, others[0], latest]
    assert reviews.standing("run2") == [other_run]
    ids = [line.id for line in [*reviews.history("run"), other_run]]
    assert ids == sorted(set(ids))


def test_undo_goes_back_one_by_one(reviews: Reviews) -> None:
    a1 = reviews.give_verdict("run", "a", "unsure", "ann")
    a2 = reviews.give_verdict("run", "a", "spurious", "ann")
    b1 = reviews.give_verdict("run", "b", "unsure", "ann")
    bob = reviews.give_verdict("run", "a", "unsure", "bob")

    undone = reviews.undo_verdict("run", "ann", "a")
    assert undone is not None
    assert (undone.verdict, undone.takes_back, undone.suspect, undone.reviewer) == ("", a2.id, "a", "ann")
    assert reviews.standing("run") == [a1, b1, bob]
    undone = reviews.undo_verdict("run", "ann")  # of any suspect: the latest is b's
    assert (undone.takes_back, undone.suspect) == (b1.id, "b")
    a3 = reviews.give_verdict("run", "a", "core feature", "ann")  # a verdict after an undo is undone first
    assert [reviews.undo_verdict("run", "ann").takes_back for _ in range(2)] == [a3.id, a1.id]
    before = reviews.version()
    assert reviews.undo_verdict("run", "ann") is None
    assert reviews.undo_verdict("run", "ann", "nothing") is None
    assert reviews.undo_verdict("other run", "bob") is None
    assert reviews.version() == before
    assert reviews.standing("run") == [bob]
    assert [line.takes_back for line in reviews.history("run")] == [None] * 4 + [a2.id, b1.id, None, a3.id, a1.id]


def test_undo_agrees_with_a_stack(reviews: Reviews) -> None:
    chance, stack = random.Random(4), []
    for _ in range(60):
        suspect = chance.choice("abc")
        if chance.random() < 0.5:
            stack.append(reviews.give_verdict("run", suspect, chance.choice(VERDICTS), chance.choice(["ann", "bob"])))
        else:
            reviewer, chosen = chance.choice(["ann", "bob"]), chance.choice([None, suspect])
            mine = [e for e in stack if e.reviewer == reviewer and chosen in (None, e.suspect)]
            undone = reviews.undo_verdict("run", reviewer, chosen)
            assert (undone and undone.takes_back) == (mine[-1].id if mine else None)
            stack = [e for e in stack if not mine or e != mine[-1]]
        stands = {(e.suspect, e.reviewer): e for e in stack}
        assert reviews.standing("run") == sorted(stands.values(), key=lambda e: e.id)


def test_the_verdict_of_the_team() -> None:
    assert team_verdict([]) == ""
    assert team_verdict([entry("a", "ann", "spurious")]) == "spurious"
    assert team_verdict([entry("a", "ann", "spurious"), entry("a", "bob", "spurious")]) == "spurious"
    assert team_verdict([entry("a", "ann", "spurious"), entry("a", "bob", "unsure")]) == "split"


# agreement


def judged(table: list[list[int]], verdicts: tuple[str, ...]) -> list[Entry]:
    """Entries of which `table[i][k]` give suspect i the verdict k."""
    return [
        entry(f"s{i}", f"r{n}", verdict)
        for i, row in enumerate(table)
        for n, verdict in enumerate(v for k, v in enumerate(verdicts) for _ in range(row[k]))
    ]


def test_kappa_of_the_textbook() -> None:
    """The worked example of Wikipedia's article on Fleiss' kappa: 10 subjects, 14 raters, 5 categories: 0.210."""
    table = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    found = agreement_of(judged(table, ("1", "2", "3", "4", "5")))
    assert found.kappa == pytest.approx(0.210, abs=5e-4)
    assert (found.reviewers, found.suspects, found.agreed) == (14, 10, 0.1)


@pytest.mark.parametrize(
    ("table", "kappa", "agreed"),
    [
        ([[2, 0, 0], [0, 2, 0]], 1.0, 1.0),
        ([[1, 1, 0], [1, 1, 0]], -1.0, 0.0),  # p_a 0, p_e 1/2
        ([[2, 0, 0], [1, 1, 0]], -1 / 3, 0.5),  # p_a 1/2, p_e (3/4)^2 + (1/4)^2 = 5/8
        ([[3, 0, 0], [0, 1, 1]], 1 / 5, 0.5),  # p_a 1/2; pi 1/2, 1/4, 1/4, p_e 3/8
        ([[2, 1, 0], [0, 2, 0], [5, 0, 0]], 22 / 40, 2 / 3),  # p_a 7/9; pi 5/9, 4/9, p_e 41/81: (63-41)/(81-41)
    ],
)
def test_kappa_by_hand(table: list[list[int]], kappa: float, agreed: float) -> None:
    found = agreement_of(judged(table, VERDICTS))
    assert found.kappa == pytest.approx(kappa)
    assert found.agreed == pytest.approx(agreed)


@pytest.mark.parametrize("table", [[], [[1, 0, 0], [0, 1, 0]], [[2, 0, 0], [3, 0, 0]]])
def test_kappa_is_undefined_without_choice(table: list[list[int]]) -> None:
    assert agreement_of(judged(table, VERDICTS)).kappa is None


def test_kappa_against_counting_pairs() -> None:
    """The same by its meaning: how often two of a suspect's reviewers agree, against two draws by the mean shares."""
    chance = random.Random(7)
    for _ in range(30):
        entries = [
            entry(f"s{i}", f"r{n}", chance.choice(VERDICTS)) for i in range(8) for n in range(chance.randint(0, 5))
        ]
        by_suspect = [[e.verdict for e in entries if e.suspect == f"s{i}"] for i in range(8)]
        shared = [given for given in by_suspect if len(given) > 1]
        agree = [np.mean([a == b for a, b in itertools.combinations(given, 2)]) for given in shared]
        share = {v: np.mean([Counter(given)[v] / len(given) for given in shared]) for v in VERDICTS}
        expected = sum(x**2 for x in share.values())
        found = agreement_of(entries)
        assert found.kappa == pytest.approx((np.mean(agree) - expected) / (1 - expected))
        assert found.suspects == len(shared)
        assert found.agreed == pytest.approx(np.mean([len(set(given)) == 1 for given in shared]))


def test_agreement_is_of_standing_verdicts(reviews: Reviews) -> None:
    for suspect, ann, bob in (("a", "spurious", "spurious"), ("b", "unsure", "unsure"), ("c", "unsure", "spurious")):
        reviews.give_verdict("run", suspect, ann, "ann")
        reviews.give_verdict("run", suspect, bob, "bob")
    reviews.undo_verdict("run", "bob", "c")
    reviews.give_verdict("run", "d", "unsure", "eve")
    found = reviews.agreement("run")
    assert (found.kappa, found.reviewers, found.suspects, found.agreed) == (1.0, 2, 2, 1.0)


# tags


def test_tags(reviews: Reviews) -> None:
    assert reviews.tag("run", [5, 3, 3, 9], "  odd ", "ann") == 3
    assert reviews.tag("run", np.array([9, 10], np.int32), "odd", "bob") == 1
    assert reviews.tag("run", (k for k in (3,)), "again", "bob") == 1
    assert reviews.tag("run2", [1], "odd", "bob") == 1
    assert reviews.tag("run", [], "odd", "ann") == 0
    assert reviews.tags("run") == {"again": 1, "odd": 4}
    assert reviews.tagged("run", "odd").tolist() == [3, 5, 9, 10]
    assert reviews.tagged("run", "odd").dtype == np.int64
    assert reviews.tags_of("run", [3, 4, 5]) == {3: ("again", "odd"), 4: (), 5: ("odd",)}
    assert reviews.untag("run", [3, 4, 5], "odd", "bob") == 2
    before = reviews.version()
    assert reviews.untag("run", [3], "odd", "bob") == reviews.tag("run", [9], "odd", "bob") == 0
    assert reviews.version() == before
    assert reviews.tagged("run", "odd").tolist() == [9, 10]
    assert reviews.untag("run", [9, 10], "odd", "bob") == 2
    assert reviews.tags("run") == {"again": 1}
    log = [(c.reviewer, c.tag, c.added, c.samples) for c in reviews.tag_history("run")]
    assert log == [
        ("ann", "odd", True, 3), ("bob", "odd", True, 1), ("bob", "again", True, 1),
        ("bob", "odd", False, 2), ("bob", "odd", False, 2),
    ]  # fmt: skip


def test_ten_thousand_tags_in_less_than_a_second(reviews: Reviews) -> None:
    reviews.tag("run", [2**62], "first", "ann")
    seconds = []
    for name in ("few", "some", "many"):
        began = time.perf_counter()
        assert reviews.tag("run", np.arange(10_000) * 3, name, "ann") == 10_000
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 1.0
    assert reviews.tag("run", range(10_000), "many", "ann") == 10_000 - 3334
    assert reviews.untag("run", range(40_000), "many", "ann") == 20_000 - 3334
    assert reviews.tagged("run", "first").tolist() == [2**62]


@pytest.mark.parametrize("ids", [[-1], [1.5], ["1"], [[1, 2]], [2**63], [True], [None], [[1], [1, 2]]])
def test_what_is_no_sample_id(reviews: Reviews, ids: list[object]) -> None:
    with pytest.raises(StoreError, match="sample ids"):
        reviews.tag("run", ids, "odd", "ann")


# saved views


def test_saved_views(reviews: Reviews) -> None:
    first = reviews.save_view("mine", "samples", "?label=cat", "ann")
    other = reviews.save_view("other", "suspects", "", "bob")
    assert reviews.views() == [other, first]
    latest = reviews.save_view(" mine ", "samples", "?label=dog", "bob")
    assert reviews.views() == [latest, other]
    reviews.remove_view("mine", "ann")
    assert reviews.views() == [other]
    with pytest.raises(StoreError, match="no saved view 'othr'; did you mean 'other'"):
        reviews.remove_view("othr", "ann")
    with pytest.raises(StoreError, match="no saved view 'mine'"):
        reviews.remove_view("mine", "ann")
    again = reviews.save_view("mine", "samples", "?label=cat", "ann")
    assert reviews.views() == [again, other]


# roles


def test_roles(reviews: Reviews) -> None:
    reviews.set_role("zoe", "reader", "root")
    reviews.set_role("ann", "reviewer", "root")
    reviews.set_role("ann", "admin", "zoe")
    assert reviews.role_of("ann", "reader") == "admin"
    assert reviews.role_of("Ann", "reader") == "reader"
    assert [(m.person, m.role, m.by) for m in reviews.members()] == [("ann", "admin", "zoe"), ("zoe", "reader", "root")]
    reviews.clear_role("ann", "root")
    assert reviews.role_of("ann", "reviewer") == "reviewer"
    assert [m.person for m in reviews.members()] == ["zoe"]
    assert [m.role for m in reviews.member_history()] == ["reader", "reviewer", "admin", ""]
    for nobody in ("", "\0", "\ud800", "x" * 201):
        assert reviews.role_of(nobody, "reader") == "reader"


# what goes in comes out, or is refused


@pytest.mark.parametrize("hostile", [*HOSTILE, "ö" * 200], ids=lambda t: ascii(t)[:12])
def test_hostile_text_stays_what_it_is(reviews: Reviews, tmp_path: Path, url: str | None, hostile: str) -> None:
    note = (hostile * 10_000)[:10_000]
    given = reviews.give_verdict(hostile, hostile, "unsure", hostile, note)
    tag = hostile.strip()[:60].strip()
    reviews.tag(hostile, [1], tag, hostile)
    view = reviews.save_view(hostile, hostile, note, hostile)
    reviews.set_role(hostile, "admin", hostile)
    other = Reviews.open(tmp_path, url)
    assert other.standing(hostile) == other.history(hostile, hostile) == [given]
    assert other.standing(hostile)[0].note == note
    assert (given.reviewer, given.suspect, given.run) == (hostile,) * 3
    assert other.tags(hostile) == {tag: 1}
    assert other.tags_of(hostile, [1]) == {1: (tag,)}
    assert other.views() == [view]
    assert (view.params, view.name) == (note, hostile.strip())
    assert other.role_of(hostile, "reader") == "admin"
    assert other.undo_verdict(hostile, hostile, hostile).takes_back == given.id
    other.close()


def test_refusals_write_nothing(reviews: Reviews, tmp_path: Path) -> None:
    def verdict(**changed: object) -> Callable[[], object]:
        given = {"run": "r", "suspect": "s", "verdict": "unsure", "reviewer": "ann", "note": "", **changed}
        return lambda: reviews.give_verdict(**given)

    refused = [
        (verdict(verdict="spurios"), "'spurios' is no verdict; did you mean 'spurious'"),
        (verdict(verdict=""), "'' is no verdict; available: core feature, spurious, unsure"),
        (lambda: reviews.set_role("ann", "admn", "root"), "'admn' is no role; did you mean 'admin'"),
        (verdict(note="x" * 10_001), "a note may have 10,000 characters, this one has 10,001"),
        (verdict(note="a\0b"), r"a note holds a NUL character \(at 1\)"),
        (verdict(note="ab\udc80"), r"a note holds half of a character \(a lone surrogate, at 2\)"),
        (verdict(note=None), "a note must be text, got NoneType"),
        (verdict(reviewer=""), "the name of a reviewer is empty"),
        (verdict(reviewer=" \n"), "the name of a reviewer is empty"),
        (verdict(reviewer="x" * 201), "the name of a reviewer may have 200 characters"),
        (verdict(suspect="x" * 201), "the name of a suspect may have"),
        (verdict(run="\0"), "the name of a run holds a NUL"),
        (lambda: reviews.tag("r", [1], "  ", "ann"), "a tag is empty; it needs 1 to 60 characters"),
        (lambda: reviews.tag("r", [1], "x" * 61, "ann"), "a tag may have 60 characters"),
        (lambda: reviews.tag("r", [1], 5, "ann"), "a tag must be text"),
        (lambda: reviews.save_view("", "p", "", "ann"), "the name of a view is empty"),
        (lambda: reviews.save_view("v", "p", "x" * 100_001, "ann"), "the query string of a view may have"),
        (lambda: reviews.undo_verdict("r", "x" * 201), "the name of a reviewer may have"),
    ]
    for attempt, message in refused:
        with pytest.raises(StoreError, match=message):
            attempt()
    assert reviews.version() == ("", 0)
    assert list(tmp_path.iterdir()) == []
    assert len(ROLES) == len(VERDICTS) == 3


# versions and threads


def test_the_version_changes_with_every_write_by_anybody(reviews: Reviews, tmp_path: Path, url: str | None) -> None:
    other = Reviews.open(tmp_path, url)
    writes = [
        lambda: other.give_verdict("run", "s", "unsure", "ann"),
        lambda: other.undo_verdict("run", "ann"),
        lambda: other.tag("run", [1], "t", "ann"),
        lambda: other.untag("run", [1], "t", "ann"),
        lambda: other.save_view("v", "p", "", "ann"),
        lambda: other.remove_view("v", "ann"),
        lambda: other.set_role("p", "admin", "ann"),
        lambda: other.clear_role("p", "ann"),
    ]
    seen = [reviews.version()]
    for write in writes:
        write()
        seen.append(reviews.version())
        assert reviews.version() == seen[-1]
    assert len(set(seen)) == len(writes) + 1
    other.close()


def test_threads_share_one_object(reviews: Reviews) -> None:
    errors: list[Exception] = []

    def work(name: str) -> None:
        try:
            for k in range(15):
                given = reviews.give_verdict("run", f"s{k}", VERDICTS[k % 3], name, f"{name} {k}")
                assert given in reviews.standing("run")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    history = reviews.history("run")
    assert [e.id for e in history] == list(range(1, 121))
    for n in range(8):
        assert [e.note for e in history if e.reviewer == f"t{n}"] == [f"t{n} {k}" for k in range(15)]


def test_a_write_that_fails_half_way_leaves_nothing(reviews: Reviews) -> None:
    first = reviews.give_verdict("run", "s", "unsure", "ann")
    before = reviews.version()

    def half(connection: object) -> None:
        database.next_id(connection)
        raise StoreError("stop")

    with pytest.raises(StoreError, match="stop"):
        reviews._database.write(half)
    assert reviews.version() == before
    assert reviews.give_verdict("run", "s", "spurious", "ann").id == first.id + 1


def test_newer_reviews_are_refused(reviews: Reviews) -> None:
    reviews.give_verdict("run", "s", "unsure", "ann")
    reviews._database.write(lambda c: c.execute(text("UPDATE review_state SET schema_version = 99")))
    for attempt in (
        reviews.version,
        lambda: reviews.standing("run"),
        lambda: reviews.give_verdict("run", "s", "unsure", "ann"),
    ):
        with pytest.raises(StoreTooNew, match=r"newer version \(schema 99\); this one reads up to 1: upgrade"):
            attempt()


def test_closing_is_no_end(reviews: Reviews) -> None:
    given = reviews.give_verdict("run", "s", "unsure", "ann")
    reviews.close()
    reviews.close()
    assert reviews.standing("run") == [given]


def test_importing_storage_loads_no_sqlalchemy() -> None:
    code = (
        "import sys, storage; assert 'sqlalchemy' not in sys.modules; storage.Reviews; "
        "assert 'sqlalchemy' in sys.modules; assert not {'torch', 'streamlit', 'pandas'} & set(sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)


# the file of a store


def test_a_read_only_store_can_be_read(tmp_path: Path, made_read_only: Callable[[Path], None]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "empty").mkdir()
    writer = Reviews.open(tmp_path / "full")
    given = writer.give_verdict("run", "s", "unsure", "ann")
    held = Reviews.open(tmp_path / "full")
    assert held.standing("run") == [given]  # a connection from before, which may write
    writer.close()
    made_read_only(tmp_path / "full")
    made_read_only(tmp_path / "empty")
    empty, full = Reviews.open(tmp_path / "empty"), Reviews.open(tmp_path / "full")
    assert (empty.writable, full.writable, held.writable) == (False, False, False)
    assert (empty.history("run"), empty.version(), empty.tags_of("run", [1])) == ([], ("", 0), {1: ()})
    for _ in range(2):
        assert full.standing("run") == held.standing("run") == [given]
    for reviews in (empty, full, held):
        with pytest.raises(StoreError, match=r"reviews\.db cannot be written \(read-only folder.*nothing was stored"):
            reviews.give_verdict("run", "s", "unsure", "ann")
        reviews.close()
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_read_only_store_that_was_closed_can_be_read(tmp_path: Path, made_read_only: Callable[[Path], None]) -> None:
    """Then no log lies beside the file, and SQLite could not make one."""
    (tmp_path / "store").mkdir()
    writer = Reviews.open(tmp_path / "store")
    given = writer.give_verdict("run", "s", "unsure", "ann")
    writer.close()
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["reviews.db"]
    made_read_only(tmp_path / "store")
    reviews = Reviews.open(tmp_path / "store")
    for _ in range(3):
        assert reviews.standing("run") == [given]
    assert reviews.version()[1] == given.id
    reviews.close()


def test_a_read_only_store_with_a_log_can_be_read(tmp_path: Path, made_read_only: Callable[[Path], None]) -> None:
    """A killed writer leaves reviews.db-wal; what lies only there counts as well."""
    code = (
        "import os, signal, storage; storage.Reviews.open('store').give_verdict('run', 's', 'unsure', 'ann'); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    (tmp_path / "store").mkdir()
    root = str(Path(__file__).resolve().parents[2])
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": root}, check=False)
    assert (tmp_path / "store" / "reviews.db-wal").stat().st_size > 0
    made_read_only(tmp_path / "store")
    reviews = Reviews.open(tmp_path / "store")
    assert [e.reviewer for e in reviews.standing("run")] == ["ann"]
    reviews.close()


def test_a_missing_folder(tmp_path: Path) -> None:
    reviews = Reviews.open(tmp_path / "nowhere")
    assert not reviews.writable
    assert reviews.views() == []
    with pytest.raises(StoreError, match=r"there is no folder .*nowhere"):
        reviews.save_view("v", "p", "", "ann")


def test_a_full_disk(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("2m")
    reviews = Reviews.open(disk)
    given = reviews.give_verdict("run", "s", "unsure", "ann")
    with pytest.raises(StoreError, match=r"cannot be written \(.*full.*\); nothing was stored"):
        for k in range(1000):
            reviews.tag("run", range(k * 1000, k * 1000 + 1000), f"t{k}", "ann")
    known = reviews.version()
    assert reviews.standing("run") == [given]
    small_disk("8m")
    assert reviews.give_verdict("run", "s", "spurious", "ann").id == known[1] + 1
    assert reviews._database.read(lambda c: c.execute(text("PRAGMA integrity_check")).scalar(), "") == "ok"
    reviews.close()


def test_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "reviews.db").write_bytes(b"this is no database, " * 500)
    reviews = Reviews.open(tmp_path)
    with pytest.raises(StoreError, match=r"reviews\.db cannot be read: the file is damaged .*backup"):
        reviews.views()
    with pytest.raises(StoreError, match=r"cannot be written: the file is damaged .*nothing was stored"):
        reviews.give_verdict("run", "s", "unsure", "ann")


def test_a_file_that_is_replaced_while_it_is_open(tmp_path: Path) -> None:
    reviews = Reviews.open(tmp_path)
    reviews.give_verdict("run", "s", "unsure", "ann")
    for path in tmp_path.iterdir():
        path.unlink()
    assert reviews.standing("run") == []
    given = reviews.give_verdict("run", "s", "spurious", "bob")
    other = Reviews.open(tmp_path)
    assert other.standing("run") == [given]
    other.close()
    reviews.close()


def test_a_writer_without_end_is_waited_for_and_then_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.5)
    reviews = Reviews.open(tmp_path)
    first = reviews.give_verdict("run", "s", "unsure", "ann")
    reviews.close()
    other = sqlite3.connect(tmp_path / "reviews.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"written by others without a break; nothing was stored\. Try again"):
        reviews.give_verdict("run", "s", "unsure", "ann")
    assert reviews.standing("run") == [first]  # reading waits for nobody
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 10.0)
    threading.Timer(0.4, lambda: other.execute("ROLLBACK")).start()
    assert reviews.give_verdict("run", "s", "unsure", "ann").id == first.id + 1
    other.close()
    reviews.close()


def test_an_odd_path(tmp_path: Path) -> None:
    folder = tmp_path / "100% of #1 'ünï' & more?mode=ro"
    folder.mkdir()
    reviews = Reviews.open(folder)
    reviews.give_verdict("run", "s", "unsure", "ann")
    assert (folder / "reviews.db").exists()
    reviews.close()
    named = Reviews.open(tmp_path, f"sqlite:///{tmp_path / 'elsewhere.db'}")
    named.give_verdict("run", "s", "unsure", "ann")
    named.close()
    assert (tmp_path / "elsewhere.db").exists()


def test_the_file_keeps_confirmed_verdicts_through_a_power_cut(tmp_path: Path) -> None:
    reviews = Reviews.open(tmp_path)
    reviews.give_verdict("run", "s", "unsure", "ann")
    asked = ("journal_mode", "synchronous")
    found = reviews._database.read(lambda c: [c.execute(text(f"PRAGMA {name}")).scalar() for name in asked], [])
    assert found == ["wal", 2]
    reviews.close()


# addresses


@pytest.mark.parametrize(
    "address",
    [
        "no address with s3cret",
        "postgresql+psycopg://ann:s3cret@127.0.0.1:notaport/db",
        "postgres://ann:s3cret@127.0.0.1/db",
        "mysql+pymysql://ann:s3cret@127.0.0.1/db",
        "postgresql+asyncpg://ann:s3cret@127.0.0.1/db",
        "postgresql+nodriver://ann:s3cret@127.0.0.1/db",
        "postgresql+psycopg://ann:s3cret@127.0.0.1:1/db",
        "postgresql+psycopg://127.0.0.1:1/db?password=s3cret&s3cret=1",
        "sqlite://",
        "sqlite:///:memory:?password=s3cret",
    ],
)
def test_no_error_shows_the_password(tmp_path: Path, address: str) -> None:
    with pytest.raises(StoreError) as caught:
        reviews = Reviews.open(tmp_path, address)
        assert "s3cret" not in repr(reviews)
        assert not reviews.writable
        reviews.give_verdict("run", "s", "unsure", "ann")
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# the document


def test_the_document_names_every_column() -> None:
    documented = {
        title: re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*) \|", body, re.MULTILINE)))
        for title, body in re.findall(r"^### (\w+)\n(.*?)(?=^##)", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    }
    assert documented == {name: [c.name for c in table.columns] for name, table in metadata.tables.items()}


def test_the_sql_of_the_document_runs(reviews: Reviews) -> None:
    reviews.give_verdict("demo", "a", "unsure", "ann")
    reviews.give_verdict("demo", "a", "spurious", "ann", "the frame")
    reviews.give_verdict("demo", "b", "unsure", "bob")
    reviews.undo_verdict("demo", "bob")
    reviews.tag("demo", [8, 9], "odd", "ann")
    reviews.untag("demo", [8], "odd", "bob")
    examples = [e for e in re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL) if e.startswith("SELECT")]
    found = [reviews._database.read(lambda c, e=e: [tuple(r) for r in c.execute(text(e))], []) for e in examples]
    standing, people, tags = found
    assert standing == [("a", "ann", "spurious", "the frame")]
    assert [row[:3] for row in people] == [("ann", 2, 1), ("bob", 1, 1)]
    assert [(who, tag, bool(added)) for _, who, tag, added in tags] == [("ann", "odd", True), ("bob", "odd", False)]


def test_the_backup_of_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audits").mkdir()
    reviews = Reviews.open("audits")
    given = reviews.give_verdict("demo", "a", "unsure", "ann")
    (command,) = re.findall(r'^python -c "(.*)"$', DOCUMENT.read_text(), re.MULTILINE)
    subprocess.run([sys.executable, "-c", command], check=True)
    copy = Reviews.open("elsewhere", "sqlite:///reviews-backup.db")
    assert copy.standing("demo") == [given]
    copy.close()
    reviews.close()
