"""Reading runs in every state: empty, unsealed, sealed, mixed, growing, and with files going away."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import duckdb
import numpy as np
import pytest

from storage import RunReader, Store, StoreError, parts_table
from storage.columns import EXPLANATION_COLUMNS, SAMPLE_COLUMNS
from tests.storage import audit

IDS = audit.explained_ids(0, 1, 2, 3)


def samples(reader: RunReader) -> int:
    return int(reader.query("SELECT count(*) AS n FROM samples")[0]["n"])


# -- content, the same in every state -------------------------------------------------------------------------


def test_samples_are_what_was_committed(reader: RunReader) -> None:
    found = reader.query("FROM samples ORDER BY sample_id")
    assert [row["sample_id"] for row in found] == IDS
    for row in found:
        expected = audit.sample(row["sample_id"])
        if np.isnan(expected["exposure"]):
            expected["exposure"] = None
        assert row == expected


def test_explanations_are_what_was_committed(reader: RunReader) -> None:
    found = reader.query("FROM explanations ORDER BY sample_id, target, modality")
    assert len(found) == 4 * len(IDS)
    names = {c.name for c in EXPLANATION_COLUMNS}
    for row in found:
        expected = audit.explanation(row["sample_id"], row["target"], row["modality"])
        assert set(row) == {"sample_id", *names}
        for name in names & set(expected):
            value = None if expected[name] != expected[name] else expected[name]
            assert row[name] == value, name


@pytest.mark.parametrize("modality", ["image", "text"])
def test_maps(reader: RunReader, modality: str) -> None:
    keys = [(i, target) for i in IDS for target in ("predicted", "label")]
    found = reader.maps([*keys, (10**6, "predicted"), (0, "'; DROP")], modality)
    assert set(found) == set(keys)
    for (sample_id, target), vector in found.items():
        expected = audit.relevancy(sample_id, target, modality)
        assert vector.dtype == np.float32
        assert np.array_equal(vector, expected)
    assert reader.maps([], modality) == {}


def test_map_tables_have_fixed_widths(reader: RunReader) -> None:
    assert reader.map_width("image") == 49
    assert reader.map_widths("text") == (16, 32)
    table = reader.table("SELECT vec FROM map_image_49")
    assert str(table.schema.field("vec").type) == "fixed_size_list<: float>[49]"
    for row in reader.query("FROM map_text_16") + reader.query("FROM map_text_32"):
        expected = audit.relevancy(row["sample_id"], row["target"], "text")
        padding = [0.0] * (len(row["vec"]) - len(expected))
        assert (row["n_valid"], list(row["vec"])) == (len(expected), [*expected.tolist(), *padding])
    with pytest.raises(StoreError, match="unknown modality 'sound'"):
        reader.map_width("sound")


def test_features(reader: RunReader) -> None:
    for modality, width in audit.FEATURES.items():
        found = reader.query(f"FROM features_{width}")
        assert len(found) == 2 * len(IDS)
        for row in found:
            expected = audit.features(row["sample_id"], row["target"], row["modality"])
            assert row["modality"] == modality
            assert list(row["vec"]) == expected.tolist()


def test_failures(reader: RunReader) -> None:
    expected = [{**f, "part": index} for index in range(4) for f in audit.part_failures(index)]
    assert reader.query("FROM failures ORDER BY sample_id") == expected
    assert len(expected) == 6


def test_rollup_equals_the_mean_over_single_maps(reader: RunReader) -> None:
    rows = reader.query("FROM rollup_class")
    assert len(rows) == len({(r["target"], r["predicted"]) for r in rows}) == 6
    for row in rows:
        members = [i for i in IDS if audit.explanation(i, row["target"], "image")["predicted"] == row["predicted"]]
        expected = np.sum([audit.relevancy(i, row["target"], "image") for i in members], axis=0, dtype=np.float64)
        assert (row["n"], row["width"], row["modality"]) == (len(members), 49, "image")
        np.testing.assert_allclose(row["sum_map"], expected, rtol=1e-12)


def test_every_documented_column_is_there(reader: RunReader) -> None:
    described = reader.query("SELECT * FROM (DESCRIBE samples)")
    kinds = {row["column_name"]: row["column_type"] for row in described}
    assert {c.name: c.sql_type for c in SAMPLE_COLUMNS}.items() <= kinds.items()
    assert kinds["camera"] == "VARCHAR" and kinds["flash"] == "BOOLEAN"
    described = reader.query("SELECT * FROM (DESCRIBE explanations)")
    kinds = {row["column_name"]: row["column_type"] for row in described}
    assert kinds == {"sample_id": "BIGINT", **{c.name: c.sql_type for c in EXPLANATION_COLUMNS}}


def test_nothing_but_the_run_can_be_read(reader: RunReader, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    secret = [1, 2, 3]
    for sql in (f"FROM '{tmp_path}/secret.csv'", "FROM read_text('/etc/hostname')", "FROM secret", "INSTALL httpfs"):
        with pytest.raises(duckdb.Error):
            reader.query(sql)
    with pytest.raises(duckdb.Error):
        reader.query("SET enable_external_access = true")
    assert secret


# -- other shapes of runs -----------------------------------------------------------------------------------


def test_an_empty_run_has_all_views(store: Store) -> None:
    with store.writer("run", audit.record()), store.reader("run") as reader:
        for view in ("samples", "explanations", "failures", "rollup_class", "map_image_49"):
            assert reader.query(f"FROM {view}") == []
        assert reader.query("SELECT camera, iso FROM samples JOIN explanations USING (sample_id)") == []
        assert reader.map_width("image") is None
        assert reader.maps([(0, "predicted")], "image") == {}
        assert reader.progress().explained == 0


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("modality", ["image", "text"])
def test_one_modality_only(store: Store, modality: str, sealed: bool) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0, modalities=(modality,))
        if sealed:
            writer.seal()
    other = "text" if modality == "image" else "image"
    with store.reader("run") as reader:
        assert reader.map_width(other) is None
        assert set(reader.maps([(0, "label"), (1, "label")], modality)) == {(0, "label"), (1, "label")}
        assert reader.query("SELECT DISTINCT modality FROM explanations") == [{"modality": modality}]


@pytest.mark.parametrize("sealed", [0, 1, 2])
def test_mixed_widths_in_one_run(store: Store, sealed: int) -> None:
    """Detectors and multi-resolution models have maps of several sizes, also within a part."""
    with store.writer("run", audit.record()) as writer:
        for part in range(2):
            rows = []
            for i in range(8):
                sample_id, width = part * 8 + i, (4, 6, 9)[(i + part) % 3]
                row = {**audit.rows(sample_id)[0], "map": np.full(width, sample_id, np.float32)}
                rows.append({**row, "features": None if i == 0 else np.ones(2 + i % 2, np.float32)})
            writer.commit_part(part, parts_table(rows, audit.METADATA))
            if sealed > part:
                writer.seal()
    with store.reader("run") as reader:
        assert reader.map_widths("image") == (4, 6, 9)
        assert reader.map_width("image") == 9
        maps = reader.maps([(i, "predicted") for i in range(16)], "image")
        assert {len(v) for v in maps.values()} == {4, 6, 9}
        assert all((vector == sample_id).all() for (sample_id, _), vector in maps.items())
        widths = [reader.query(f"SELECT count(*) AS n FROM features_{d}")[0]["n"] for d in (2, 3)]
        assert len(maps) == 16 and sum(widths) == 14
        assert sorted(r["width"] for r in reader.query("SELECT DISTINCT width FROM rollup_class")) == [4, 6, 9]


def test_no_metadata(store: Store) -> None:
    row = {"sample_id": 0, "uri": "a.jpg", "target": "clip-score", "modality": "image", "score": 1.0, "map": [1.0]}
    with store.writer("run", {"spec": {}, "dataset": {}}) as writer:
        writer.commit_part(0, parts_table([row], []))
        writer.seal()
    with store.reader("run") as reader:
        assert set(reader.query("FROM samples")[0]) == {c.name for c in SAMPLE_COLUMNS}
        assert reader.query("SELECT predicted, n FROM rollup_class") == [{"predicted": None, "n": 1}]


def test_a_column_an_older_segment_lacks_is_empty(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0)
        writer.seal()
    path, manifest = writer.run.segment(0), writer.run.segment_manifest(0)
    with duckdb.connect(str(path)) as old:
        old.execute("ALTER TABLE explanations DROP COLUMN clip_percentile")
        old.execute("DROP TABLE failures")
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "bytes": path.stat().st_size}))
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 1)
    with store.reader("run") as reader:
        assert samples(reader) == len(audit.explained_ids(0, 1))
        assert reader.query("SELECT count(clip_percentile) AS n FROM explanations") == [{"n": 0}]


# -- change ---------------------------------------------------------------------------------------------------


def test_refresh_only_when_something_changed(store: Store) -> None:
    with store.writer("run", audit.record()) as writer, store.reader("run") as reader:
        versions = [reader.version]
        assert reader.refresh() is False
        for index in range(3):
            audit.commit(writer, index)
            assert samples(reader) == len(audit.explained_ids(*range(index)))  # not before refresh
            assert reader.refresh() is True
            assert reader.refresh() is False
            assert samples(reader) == len(audit.explained_ids(*range(index + 1)))
            versions.append(reader.version)
        writer.seal()
        assert reader.refresh() is True
        versions.append(reader.version)
        assert samples(reader) == len(audit.explained_ids(0, 1, 2))
        assert len(set(versions)) == len(versions)
        writer.finish("finished")
        assert reader.refresh() is False
        assert reader.record.state == "finished"


def test_a_reader_that_slept_through_the_grace_period_goes_on(store: Store) -> None:
    with store.writer("run", audit.record(), grace_seconds=0) as writer:
        audit.commit(writer, 0, 1)
        with store.reader("run") as asleep, store.reader("run") as listing:
            writer.seal()
            writer.seal()
            assert not writer.run.part(0).exists()
            assert asleep.maps([(0, "predicted")], "image").keys() == {(0, "predicted")}
            assert samples(listing) == len(audit.explained_ids(0, 1))
            assert listing.refresh() is False


def test_many_threads_survive_vanishing_parts(store: Store) -> None:
    """All threads fail at once; one refreshes, the others must notice and try again too."""
    for attempt in range(3):
        run = f"run{attempt}"
        with store.writer(run, audit.record(), grace_seconds=0) as writer:
            audit.commit(writer, 0, 1)
            with store.reader(run) as reader:
                writer.seal()
                writer.seal()
                start, counts, errors = threading.Barrier(8), [], []

                def ask(reader: RunReader = reader, start: threading.Barrier = start) -> None:
                    start.wait()
                    try:
                        counts.append(samples(reader))  # noqa: B023
                    except duckdb.Error as error:
                        errors.append(error)  # noqa: B023

                threads = [threading.Thread(target=ask) for _ in range(8)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert not errors
                assert counts == [len(audit.explained_ids(0, 1))] * 8


def test_files_lost_for_good_are_an_error_once(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0, 1)
    with store.reader("run") as reader:
        writer.run.part(1).unlink()
        assert samples(reader) == len(audit.explained_ids(0))
        assert reader.problems


def test_an_open_result_survives_a_refresh(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0, 1)
        with store.reader("run") as reader:
            result = reader.cursor().execute("SELECT sample_id FROM samples ORDER BY 1")
            first = result.fetchone()
            writer.seal()
            reader.refresh()
            rest = result.fetchall()
            assert [i for (i,) in [first, *rest] if first] == audit.explained_ids(0, 1)


def test_two_readers_of_one_run_in_one_process(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0)
        writer.seal()
    with store.reader("run") as one, store.reader("run") as two:
        assert samples(one) == samples(two) == len(audit.explained_ids(0))


def test_a_copied_store_reads_the_same(shared_store: Store, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shared_store.root, copy)
    with Store.open(copy).reader("mixed") as reader:
        assert samples(reader) == len(IDS)


def test_query_binds_values(reader: RunReader) -> None:
    camera = "cam '1'"
    expected = sum(audit.sample(i)["camera"] == camera for i in IDS)
    assert expected
    assert reader.query("SELECT count(*) AS n FROM samples WHERE camera = ?", [camera]) == [{"n": expected}]
    assert reader.table("SELECT ? AS x, ? AS y", [1, "a"]).to_pylist() == [{"x": 1, "y": "a"}]
