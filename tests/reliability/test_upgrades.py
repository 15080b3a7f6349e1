"""Stores of every schema: each is read whole by library, command line and dashboard, and an interrupted job goes on.

Or it is refused in one line that says what to run: stores of a newer schema, and damaged or lost versions.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.report.__main__ import main as report
from storage import SCHEMA_VERSION, Reviews, Store, StoreError, StoreTooNew, parts_table, queries
from storage.reviews import REVIEWS_SCHEMA_VERSION
from storage.schema import LATER
from tests.dashboard.conftest import app
from tests.dashboard.test_pages import open_page, text_of
from tests.jobs.conftest import assert_refused, jobs
from tests.reliability.earlier import FIRST_REVIEWS, VERSIONS, halfway, unpacked
from tests.reliability.questions import ask_everything, selections
from tests.storage import audit, make_fixture, make_interrupted

__all__ = ["app", "jobs"]  # fixtures of the neighbours

PAGES = ("overview", "samples", "sample", "suspects", "faithfulness", "runs")
UPGRADE = "upgrade relevancy-audit: in its folder, git pull && make setup"
Jobs = Callable[..., Any]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The kept stores, for tests that only read."""
    folder = tmp_path_factory.mktemp("kept")
    return {version: unpacked(version, folder) for version in VERSIONS}


def test_a_store_of_every_earlier_schema_is_kept() -> None:
    """Whoever raises the schema: run tests/storage/make_fixture.py with the software before that."""
    assert set(range(1, SCHEMA_VERSION)) <= set(VERSIONS)
    assert SCHEMA_VERSION in VERSIONS or max(VERSIONS) + 1 == SCHEMA_VERSION


@pytest.mark.parametrize("version", VERSIONS)
def test_every_question_is_answered(kept: dict[int, Path], version: int) -> None:
    store = Store.open(kept[version])
    assert json.loads((kept[version] / "store.json").read_text()) == {"schema_version": version}
    assert store.run_ids()
    for number, run in enumerate(store.run_ids()):
        with store.reader(run) as reader:
            assert reader.record.schema_version == version and reader.problems == []
            assert list(selections(reader))
            assert ask_everything(reader, columns=number == 0) == set(queries.__all__)
    assert json.loads((kept[version] / "store.json").read_text()) == {
        "schema_version": version
    }  # reading changes nothing


@pytest.mark.parametrize("version", VERSIONS)
def test_commands_work(kept: dict[int, Path], version: int, jobs: Jobs, tmp_path: Path) -> None:
    store = shutil.copytree(kept[version], tmp_path / "store")
    names = Store.open(store).run_ids()
    listed = json.loads(jobs("list", "--store", store, "--json").out)
    assert [row["run"] for row in listed] == names and not any(row["problem"] for row in listed if "problem" in row)
    for name in names:
        status = json.loads(jobs("status", name, "--store", store, "--json").out)
        assert status["explained"] > 0 and status["state"] in ("finished", "interrupted", "running")
        found = jobs("suspects", name, "--store", store, "--no-verify", "--permutations", 1, "--json")
        assert found.code == 0, found.err
        assert json.loads(found.out)["run"] == name
    assert jobs("compare", names[0], names[-1], "--store", store).code in (
        0,
        2,
    )  # of other data: one line, no traceback


@pytest.mark.parametrize("version", VERSIONS)
def test_a_report_is_made(kept: dict[int, Path], version: int, tmp_path: Path, capsys: Any) -> None:
    """What `python -m jobs report` starts, in this process."""
    name = Store.open(kept[version]).run_ids()[0]
    out = tmp_path / "report.html"
    assert report([name, "--store", str(kept[version]), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == out.stat().st_size > 10_000
    assert name in out.read_text()


@pytest.mark.parametrize("version", VERSIONS)
def test_pages_are_drawn(kept: dict[int, Path], version: int, app: Any) -> None:
    for number, run in enumerate(Store.open(kept[version]).run_ids()):
        test = app(kept[version], v="1", run=run).run()
        for page in PAGES if number == 0 else ("samples", "sample"):
            test.switch_page(f"app_pages/{page}.py").run()
            assert not test.exception, (run, page, test.exception[0].value)
            assert not test.error, (run, page, test.error[0].value)
            assert test.selectbox(key="run").value == run


@pytest.mark.parametrize("version", sorted({1, 2, 3, SCHEMA_VERSION} & {1, 2, 3, *VERSIONS}))
def test_an_interrupted_job_goes_on(version: int, jobs: Jobs, tmp_path: Path) -> None:
    """Begun by the software of its time, ended by this one; the rest comes out as in a run that was never stopped."""
    begun = halfway(version, tmp_path)
    name, options = make_interrupted.RUN, ("--device", "cpu", "--workers", 0, "--json")
    words = ("run", "--data", begun.data, "--model", begun.model, "--name", name, *options)
    answer = jobs(*words, "--store", begun.store)
    assert answer.code == 0, answer.err
    document = json.loads(answer.out)
    assert (document["samples"], document["skipped"], document["resumed_parts"]) == (11, 8, 2)
    assert (document["total_explained"], document["total_failed"]) == (10, 1)
    assert json.loads((begun.store / "store.json").read_text()) == {"schema_version": SCHEMA_VERSION}
    assert jobs(*words, "--store", tmp_path / "fresh").code == 0
    old, new = (_maps(store) for store in (begun.store, tmp_path / "fresh"))
    assert old.keys() == new.keys() and len(old) == 10
    for key, values in new.items():
        assert abs(old[key] - values).max() <= 1e-5, key  # nor did the engine come to other maps meanwhile
    with Store.open(begun.store).reader(name) as reader:
        ask_everything(reader)


def _maps(store: Path) -> dict[tuple[int, str], Any]:
    with Store.open(store).reader(make_interrupted.RUN) as reader:
        ids = [row["sample_id"] for row in reader.query("SELECT sample_id FROM samples")]
        return reader.maps([(i, "predicted") for i in ids], "image")


def test_the_script_makes_such_a_store(kept: dict[int, Path], tmp_path: Path) -> None:
    """What the next change of the schema will need; with the same findings and reviews as the kept one."""
    make_fixture.make(tmp_path / "made", tmp_path / "made.tar.xz")
    shutil.unpack_archive(tmp_path / "made.tar.xz", tmp_path, filter="data")
    made = tmp_path / f"store_v{SCHEMA_VERSION}"
    with Store.open(made).reader(make_fixture.RUN) as reader:
        assert ask_everything(reader)
        assert len(reader.snapshot.segments) == 1 and len(reader.snapshot.tail) == 1
        contents = reader.snapshot.contents
        assert contents.embedding_widths and contents.patch_widths and contents.feature_widths and contents.text_widths
        assert len(reader.suspects().rows) == 3
    check_reviews(made)
    if SCHEMA_VERSION in kept:
        check_reviews(kept[SCHEMA_VERSION])


def check_reviews(store: Path) -> None:
    """What `make_fixture.write_reviews` wrote is there, and more can be written."""
    reviews = Reviews.open(store)
    run = make_fixture.RUN
    assert [(e.reviewer, e.verdict) for e in reviews.standing(run)] == [("ann", "spurious"), ("bob", "unsure")]
    assert len(reviews.history(run)) == 4 and reviews.history(run)[0].note == make_fixture.NOTE
    assert reviews.tags(run) == {make_fixture.TAG: 3}
    assert reviews.tagged(run, make_fixture.TAG).tolist() == make_fixture.TAGGED
    assert [view.name for view in reviews.views()] == [make_fixture.VIEW]
    assert reviews.role_of("ann", "reader") == "admin"
    reviews.close()


def test_reviews_of_the_first_software_open(tmp_path: Path) -> None:
    """Its table of tags had its columns in another order."""
    halfway(1, tmp_path)
    store = tmp_path / FIRST_REVIEWS
    check_reviews(store)
    reviews = Reviews.open(store)
    run, tag = make_fixture.RUN, make_fixture.TAG
    assert reviews.tag(run, [0, 7], tag, "cat") == 1 and reviews.untag(run, [2], tag, "cat") == 1
    assert reviews.tags_of(run, [0, 2, 7]) == {0: (tag,), 2: (), 7: (tag,)}
    reviews.give_verdict(run, "new", "unsure", "cat")
    assert [entry.suspect for entry in reviews.standing(run)][-1] == "new"
    reviews.close()


# -- refusals -----------------------------------------------------------------------------------------


def newer(store: Path) -> None:
    (store / "store.json").write_text(json.dumps({"schema_version": SCHEMA_VERSION + 1}))


def headed(text: str) -> Callable[[Path], None]:
    return lambda store: (store / "store.json").write_text(text) and None


def headless(store: Path) -> None:
    (store / "store.json").unlink()


MEND = f"""to mend it: echo '{{"schema_version": {max(VERSIONS)}}}' > """
SPOILT: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "newer": (newer, (f"newer version (schema {SCHEMA_VERSION + 1})", f"reads up to {SCHEMA_VERSION}", UPGRADE)),
    "lost": (headless, ("no store.json", MEND)),
    "empty": (headed(""), ("store.json is damaged", MEND)),
    "a list": (headed("[]"), ("store.json is damaged", MEND)),
    "no version": (headed("{}"), ("store.json is damaged", MEND)),
    "a word": (headed('{"schema_version": "four"}'), ("'four', which is no version", MEND)),
    "yes": (headed('{"schema_version": true}'), ("True, which is no version", MEND)),
    "zero": (headed('{"schema_version": 0}'), ("0, which is no version", MEND)),
    "a fraction": (headed('{"schema_version": 4.5}'), ("4.5, which is no version", MEND)),
}


@pytest.mark.parametrize("how", SPOILT)
def test_what_cannot_be_read_is_one_line(kept: dict[int, Path], how: str, jobs: Jobs, tmp_path: Path) -> None:
    store = shutil.copytree(kept[max(VERSIONS)], tmp_path / "store")
    spoil, said = SPOILT[how]
    spoil(store)
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    assert_refused(jobs("list", "--store", store), *said)
    if how in ("newer", "lost"):  # every command asks the same function
        for words in (("status",), ("suspects",), ("evaluate",), ("compare", "pairs", "halfway"), ("report",)):
            assert_refused(jobs(*words, "--store", store), *said)
    if how == "newer":
        assert_refused(jobs("run", "--data", kept[4].parent / "photos", "--model", "timm:x", "--store", store), *said)
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before
    if how != "newer":  # the command that the line names
        _, _, command = _refusal(store).partition("to mend it: ")
        subprocess.run(command, shell=True, check=True)
        assert set(Store.open(store).run_ids()) == {"pairs", "halfway"}


def plain(shown: str) -> str:
    """Text of a page as people read it: without the characters that keep it from being Markdown."""
    return shown.replace("\\", "").replace("\u2060", "")


def _refusal(store: Path) -> str:
    with pytest.raises(StoreError) as refused:
        Store.open(store)
    return str(refused.value)


@pytest.mark.parametrize("how", ["newer", "lost", "empty", "a word"])
def test_the_dashboard_says_it_too(kept: dict[int, Path], how: str, app: Any, tmp_path: Path) -> None:
    store = shutil.copytree(kept[max(VERSIONS)], tmp_path / "store")
    spoil, said = SPOILT[how]
    spoil(store)
    test: AppTest = app(store, v="1").run()
    assert not test.exception
    (error,) = test.error
    shown = plain(error.value)
    for words in said:
        if words == MEND:  # to be copied: as it is
            (command,) = test.code
            assert command.value.startswith(words.removeprefix("to mend it: ")) and str(store) in command.value
        else:
            assert words in shown


@pytest.mark.parametrize(
    ("version", "said"),
    [(SCHEMA_VERSION + 1, UPGRADE), ("four", "which is no version"), (None, "which is no version")],
)
def test_a_run_of_another_version_hides_no_other(
    kept: dict[int, Path], version: object, said: str, jobs: Jobs, app: Any, tmp_path: Path
) -> None:
    store = shutil.copytree(kept[max(VERSIONS)], tmp_path / "store")
    record = store / "runs/halfway/run.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "schema_version": version}))
    listed = {row["run"]: row for row in json.loads(jobs("list", "--store", store, "--json").out)}
    assert said in listed["halfway"]["problem"] and listed["pairs"]["state"] == "finished"
    assert said in json.loads(jobs("status", "halfway", "--store", store, "--json").out)["problem"]
    assert_refused(jobs("suspects", "halfway", "--store", store), said)
    test = open_page(app, store, "runs", v="1", run="pairs")
    assert test.selectbox(key="run").options == ["pairs"]


@pytest.mark.parametrize(
    ("version", "said", "kind"),
    [(REVIEWS_SCHEMA_VERSION + 1, UPGRADE, StoreTooNew), ("one", "damaged", StoreError), (0, "damaged", StoreError)],
)
def test_reviews_of_another_version(
    kept: dict[int, Path], version: object, said: str, kind: type[StoreError], app: Any, tmp_path: Path
) -> None:
    """Reading the run goes on; nothing is written to the reviews."""
    store = shutil.copytree(kept[max(VERSIONS)], tmp_path / "store")
    with sqlite3.connect(store / "reviews.db") as database:
        database.execute("UPDATE review_state SET schema_version = ?", [version])
    database.close()
    before = (store / "reviews.db").read_bytes()
    reviews = Reviews.open(store)
    for attempt in (
        lambda: reviews.standing("pairs"),
        lambda: reviews.give_verdict("pairs", "s", "unsure", "ann"),
        lambda: reviews.tag("pairs", [1], "t", "ann"),
    ):
        with pytest.raises(kind, match=said):
            attempt()
    reviews.close()
    assert (store / "reviews.db").read_bytes() == before
    test = app(store, v="1", run="pairs").run()
    for page in ("suspects", "samples", "team") if kind is StoreTooNew else ("team",):
        test.switch_page(f"app_pages/{page}.py").run()
        assert not test.exception, (page, test.exception[0].value)
        assert said in plain(text_of(test)), page


# -- names that came later ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def named_alike(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the first schema whose dataset has a column of every name that later schemas took."""
    store = tmp_path_factory.mktemp("alike") / "store"
    metadata = [entry for entry in audit.METADATA if entry["column"] not in LATER]
    metadata += [{"name": name, "column": name, "type": "string"} for name in sorted(LATER)]
    given = audit.record(12)
    given["dataset"] = {**given["dataset"], "metadata": metadata}
    with Store.open(store, create=True).writer("alike", given, seal_every=100) as writer:
        for index in range(2):
            ids = [i for i in range(6 * index, 6 * index + 6) if not audit.fails(i)]
            rows = [
                {**row, **dict.fromkeys(LATER, f"own {row['sample_id'] % 3}")} for i in ids for row in audit.rows(i)
            ]
            writer.commit_part(index, parts_table(rows, metadata))
            if index == 0:
                writer.seal()
        writer.finish("finished")
    return store


def test_names_that_came_later_go_on_meaning_what_they_meant(named_alike: Path, jobs: Jobs, app: Any) -> None:
    with Store.open(named_alike).reader("alike") as reader:
        assert reader.record.taken == LATER
        ask_everything(reader)
        assert {row["query"] for row in reader.query("FROM samples")} == {"own 0", "own 1", "own 2"}
        for name, info in queries.columns(reader).items():
            assert info.group == "metadata" or name not in LATER
    assert json.loads(jobs("status", "--store", named_alike, "--json").out)["explained"] == 11
    found = jobs("suspects", "--store", named_alike, "--no-verify", "--permutations", 1, "--json")
    assert found.code == 0, found.err
    test = app(named_alike, v="1", run="alike").run()
    for page in (*PAGES, "words", "compare"):
        test.switch_page(f"app_pages/{page}.py").run()
        assert not test.exception and not test.error, page
