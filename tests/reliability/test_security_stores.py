"""A store that somebody else wrote is read as data: it names no file outside its run, and runs no query of its own."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from dashboard.data import Run
from dashboard.tiles import MissingPicture, source
from storage import Store, StoreError
from storage.atomic import write_json
from tests.dashboard import make_store

CANARY = "c4n4ry-file"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    make_store.write_classes(tmp_path / "store", tmp_path / "photos", n=20, failed=2)
    return tmp_path / "store"


def forged(store: Path, sql: str) -> Path:
    """Change a sealed segment as somebody could who hands out a store, and its manifest with it."""
    (segment,) = (store / "runs" / "shapes-vit" / "segments").glob("*.duckdb")
    with duckdb.connect(str(segment)) as con:
        con.execute("ALTER TABLE samples RENAME TO honest")
        con.execute(sql)
    manifest = segment.with_suffix(".json")
    content = json.loads(manifest.read_text())
    write_json(manifest, {name: segment.stat().st_size if name == "bytes" else v for name, v in content.items()})
    return segment


@pytest.mark.parametrize("function", ["read_text('{0}')", "read_blob('{0}')", "read_csv('{0}', header=false)"])
@pytest.mark.parametrize("place", ["outside", "link"])
def test_a_view_in_a_segment_is_not_run(store: Path, tmp_path: Path, function: str, place: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(CANARY)
    link = store / "runs" / "shapes-vit" / "parts" / "notes.txt"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(secret)
    path = secret if place == "outside" else link
    columns = "SELECT 0::BIGINT AS sample_id, x::VARCHAR AS uri"
    forged(store, f"CREATE VIEW samples AS {columns} FROM (SELECT t AS x FROM {function.format(path)} AS t)")
    with pytest.raises(StoreError, match="which no job writes: it is not read") as caught:
        Store.open(store).reader("shapes-vit")
    assert CANARY not in str(caught.value)


def test_a_table_in_its_place_is_data(store: Path) -> None:
    """The forging itself works: a table instead of the view is read, so the test above can fail."""
    forged(store, f"CREATE TABLE samples AS SELECT 0::BIGINT AS sample_id, '{CANARY}' AS uri")
    with Store.open(store).reader("shapes-vit") as reader:
        assert [row["uri"] for row in reader.query("SELECT uri FROM samples")] == [CANARY]


@pytest.mark.parametrize(
    "uri", ["../secret.png", "/etc/hostname", "file:///etc/hostname", "http://127.0.0.1/x", "a/../.."]
)
def test_uris_of_its_samples_cannot_leave_the_data(store: Path, uri: str) -> None:
    forged(store, f"CREATE TABLE samples AS SELECT 0::BIGINT AS sample_id, '{uri}' AS uri")
    run = Run.open(store, "shapes-vit")
    (row,) = run.reader.query("SELECT uri FROM samples")
    with pytest.raises(MissingPicture, match="outside the data folder"):
        source(run, row["uri"])


@pytest.mark.parametrize("name", ["../../secret", "/etc", "a/b", ".", "..", "x\0y", ""])
def test_names_of_runs_are_names(store: Path, name: str) -> None:
    with pytest.raises(StoreError):
        Store.open(store).reader(name)
