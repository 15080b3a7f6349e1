"""Opening, making, refusing and migrating stores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from storage import SCHEMA_VERSION, Store, StoreError, StoreTooNew, UnknownRun, list_runs
from storage.layout import StoreLayout
from storage.migrations import migrate, stored_version
from tests.storage import audit


def test_missing_store_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no store at .*nowhere; `python -m jobs run .* --store"):
        Store.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_folder_without_header_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is not a store \(it has no store.json\)"):
        Store.open(tmp_path)


def test_create_then_open(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "audits"
    assert Store.open(root, create=True).run_ids() == []
    assert json.loads((root / "store.json").read_text()) == {"schema_version": SCHEMA_VERSION}
    assert Store.open(root).root == root
    assert list_runs(Store.open(root)) == []
    Store.open(root, create=True)


@pytest.mark.parametrize("create", [False, True])
def test_newer_store_is_refused_untouched(tmp_path: Path, create: bool) -> None:
    Store.open(tmp_path, create=True)
    header = tmp_path / "store.json"
    header.write_text('{"schema_version": 7}')
    with pytest.raises(
        StoreTooNew,
        match=rf"newer version \(schema 7\); this one reads up to {SCHEMA_VERSION}: upgrade relevancy-audit",
    ):
        Store.open(tmp_path, create=create)
    assert header.read_text() == '{"schema_version": 7}'


def test_newer_run_is_refused(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0)
    content = json.loads(writer.run.record.read_text())
    writer.run.record.write_text(json.dumps({**content, "schema_version": 7}))
    with pytest.raises(StoreTooNew, match="schema 7"):
        store.reader("run")
    with pytest.raises(StoreTooNew, match="schema 7"), store.writer("run", audit.record()):
        pass
    assert [row["state"] for row in list_runs(store)] == ["unreadable"]
    writer.run.record.write_text(json.dumps(content))
    part = json.loads(writer.run.part_manifest(0).read_text())
    writer.run.part_manifest(0).write_text(json.dumps({**part, "schema_version": 8}))
    with pytest.raises(StoreTooNew, match="schema 8"):
        store.reader("run")


@pytest.mark.parametrize("header", ["", "[]", "{}", '{"schema_version": "one"}'])
def test_damaged_header(tmp_path: Path, header: str) -> None:
    (tmp_path / "store.json").write_text(header)
    with pytest.raises(StoreError, match=r"store\.json"):
        Store.open(tmp_path)


def test_unknown_run_suggests_the_nearest(store: Store) -> None:
    with pytest.raises(UnknownRun, match="no runs yet"):
        store.record("demo")
    with store.writer("photos-gae", audit.record()):
        pass
    with pytest.raises(UnknownRun, match="did you mean 'photos-gae'"):
        store.reader("photo-gae")
    for name in ("../photos-gae", "photos-gae/.", "", "."):
        with pytest.raises(UnknownRun):
            store.record(name)


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", ".hidden", "x" * 200])
def test_bad_run_names(store: Store, name: str) -> None:
    with pytest.raises(StoreError, match="cannot be the name of a run"):
        store.writer(name, audit.record())


def test_place_that_can_never_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file" / "store", tmp_path / "file", Path("/proc/relevancy-audit")):
        with pytest.raises(StoreError, match="cannot be written"):
            Store.open(root, create=True)


def test_question_mark_in_the_path(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot hold a '\?'"):
        Store.open(tmp_path / "what?", create=True)


def test_read_only_store_is_read_and_not_written(store: Store, made_read_only: Callable[[Path], None]) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0)
        writer.seal()
        audit.commit(writer, 1)
    made_read_only(store.root)
    with pytest.raises(StoreError, match="cannot be written"):
        Store.open(store.root, create=True)
    with pytest.raises(StoreError, match="no permission to write"), store.writer("run", audit.record()):
        pass
    with Store.open(store.root).reader("run") as reader:
        assert reader.query("SELECT count(*) AS n FROM samples")[0]["n"] == len(audit.explained_ids(0, 1))
        assert not reader.progress().live


def test_migrations_run_once_in_order_and_are_recorded(tmp_path: Path) -> None:
    done: list[str] = []

    def m001_first(store: StoreLayout) -> None:
        done.append("first")

    def m002_second(store: StoreLayout) -> None:
        done.append("second")

    def m003_breaks(store: StoreLayout) -> None:
        raise StoreError("cannot")

    layout = StoreLayout(tmp_path)
    assert migrate(layout, [m001_first]) == ["m001_first"]
    assert migrate(layout, [m001_first, m002_second]) == ["m002_second"]
    assert migrate(layout, [m001_first, m002_second]) == []
    assert done == ["first", "second"]
    with pytest.raises(StoreError, match="cannot"):
        migrate(layout, [m001_first, m002_second, m003_breaks])
    assert stored_version(layout) == 2
    with pytest.raises(StoreTooNew):
        migrate(layout, [m001_first])


@pytest.mark.parametrize("name", ["with space", "quo'te", 'dou"ble', "[brackets] *", "ünïcode"])
def test_any_folder_name(tmp_path: Path, name: str) -> None:
    store = Store.open(tmp_path / name, create=True)
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0)
        writer.seal()
        audit.commit(writer, 1)
        writer.finish()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / name)
    for root in (tmp_path / name, link):
        with Store.open(root).reader("run") as reader:
            found = reader.query("SELECT sample_id FROM samples ORDER BY 1")
            assert [row["sample_id"] for row in found] == audit.explained_ids(0, 1)
