"""Bytes that changed on disk: named by readers and writers, never shown as rows, made again by the next run."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage import RunReader, Store, StoreError, suspects_lock, write_suspects
from storage.atomic import check_writable
from tests.storage import audit
from tests.storage.test_suspects import ROW

IDS = "SELECT sample_id FROM samples ORDER BY sample_id"


def change(path: Path, place: int) -> None:
    """Flip the bits of one byte; neither size nor name tell."""
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)


def ids(store: Store) -> list[int]:
    with store.reader("run") as reader:
        return [row["sample_id"] for row in reader.query(IDS)]


@pytest.fixture
def two_parts(store: Store) -> Store:
    """A run of two parts that are not sealed."""
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0, 1)
    return store


@pytest.mark.parametrize("place", [4, 4_000, -5])
def test_a_changed_part_is_left_out_named_and_made_again(two_parts: Store, place: int) -> None:
    """Parquet itself would read most changed bytes as other numbers."""
    change(two_parts.layout_of("run").part(1), place)
    named = "00001.parquet is damaged on disk, its checksum differs"
    with two_parts.reader("run") as reader:
        assert [row["sample_id"] for row in reader.query(IDS)] == audit.explained_ids(0)
        assert reader.problems == [f"part 1 will be computed again: {named}"]
        maps = reader.maps([(i, "predicted") for i in audit.explained_ids(0, 1)], "image")
        assert set(maps) == {(i, "predicted") for i in audit.explained_ids(0)}
        with two_parts.writer("run", audit.record()) as writer:
            assert (writer.committed, writer.redo) == ({0}, {1: named})
            audit.commit(writer, 1)
            writer.seal()
        assert reader.refresh() and reader.problems == []
    assert ids(two_parts) == audit.explained_ids(0, 1)


def test_a_part_that_changes_under_an_open_reader(two_parts: Store) -> None:
    """The views name its file still; whatever DuckDB says of it, the answer is without it or right."""
    run = two_parts.layout_of("run")
    with two_parts.reader("run") as reader:
        assert len(reader.query(IDS)) == len(audit.explained_ids(0, 1))
        run.part(1).write_bytes(b"PAR1" + b"\x00" * (run.part(1).stat().st_size - 8) + b"PAR1")
        assert [row["sample_id"] for row in reader.query(IDS)] == audit.explained_ids(0)
        assert "damaged" in reader.problems[0]


@pytest.fixture
def sealed(store: Store) -> Store:
    """A run of two segments; the parts of the first are gone."""
    with store.writer("run", audit.record(), grace_seconds=0) as writer:
        for part in (0, 1):
            audit.commit(writer, part)
            writer.seal()
        writer.seal()
    return store


def test_a_segment_with_a_changed_block_is_named_and_made_again(sealed: Store) -> None:
    path = sealed.layout_of("run").segment(1)
    place = next(i for i in range(path.stat().st_size - 100, 12_288, -50_000) if _matters(sealed, path, i))
    change(path, place)
    with (
        sealed.reader("run") as reader,
        pytest.raises(StoreError, match=r"segments/0001\.duckdb of run 'run' is damaged on disk .* delete that file"),
    ):
        every_row(reader)
    path.unlink()  # as it says
    with sealed.writer("run", audit.record()) as writer:
        assert writer.committed == {0}
        audit.commit(writer, 1)
        writer.finish()
    assert ids(sealed) == audit.explained_ids(0, 1)


def every_row(reader: RunReader) -> None:
    """Read every value of every table."""
    for view in reader.query("SELECT view_name AS name FROM duckdb_views() WHERE NOT internal"):
        reader.query(f"SELECT max(hash(x)) FROM {view['name']} x")


def _matters(store: Store, path: Path, place: int) -> bool:
    """Whether any table lies at a place of the file: some blocks are empty."""
    change(path, place)
    try:
        with store.reader("run") as reader:
            every_row(reader)
        return False
    except StoreError:
        return True
    finally:
        change(path, place)


def test_a_segment_that_is_no_database_any_more_is_named(sealed: Store) -> None:
    change(sealed.layout_of("run").segment(0), 10)
    with pytest.raises(StoreError, match=r"segments/0000\.duckdb of run 'run' is damaged on disk .* delete that file"):
        sealed.reader("run")


# -- what killed processes leave --------------------------------------------------------------------------


def test_a_writer_does_not_sweep_what_a_search_is_writing(two_parts: Store) -> None:
    run = two_parts.layout_of("run")
    left = run.folder / "suspects.parquet.77.tmp"
    with suspects_lock(run):
        left.write_bytes(b"half of a list")
        with two_parts.writer("run", audit.record()):
            assert left.exists()
    with two_parts.writer("run", audit.record()):
        assert not left.exists()


def test_the_next_search_sweeps_what_a_killed_one_left(two_parts: Store) -> None:
    run = two_parts.layout_of("run")
    left = run.folder / "suspects.parquet.77.tmp"
    left.write_bytes(b"half of a list")
    with suspects_lock(run):
        assert not left.exists()
        write_suspects(run, [ROW], {})
    assert sorted(p.name for p in run.folder.iterdir() if "suspects" in p.name) == ["suspects.lock", "suspects.parquet"]


def test_the_probe_of_a_killed_start_is_swept(tmp_path: Path) -> None:
    (tmp_path / "write-test.77.tmp").write_bytes(b"")
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []
