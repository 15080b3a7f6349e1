"""Exports against the store: every value, every picture, nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dashboard.data import Run
from dashboard.samples import export
from storage import Filter, Reviews, SampleQuery, queries
from tests.dashboard import make_store, samples_store
from tests.dashboard.make_store import HOSTILE

QUERY = SampleQuery("predicted", sort="entropy", descending=True)
TAG = HOSTILE[1][:60].strip()


@pytest.fixture(scope="module")
def choice(tmp_path_factory: pytest.TempPathFactory) -> export.Choice:
    store = samples_store.write(tmp_path_factory.mktemp("export"))
    reviews = Reviews.open(store)
    reviews.tag(samples_store.RUN, [0, 7, 21], TAG, "Ann")
    reviews.tag(samples_store.RUN, [7], "=tag", "Ann")
    return export.Choice(Run.open(store, samples_store.RUN), QUERY, reviews)


def stored(choice: export.Choice) -> list[dict[str, Any]]:
    return queries.page(choice.run.reader, choice.query, 1, 1000)


def test_parquet_holds_every_value_in_the_order_of_the_page(choice: export.Choice) -> None:
    table = pq.read_table(io.BytesIO(export.as_parquet(choice).read())).to_pylist()
    tags = {7: ["=tag", TAG], 0: [TAG], 21: [TAG]}
    wanted = [{**row, export.TAGS: sorted(tags.get(row["sample_id"], []))} for row in stored(choice)]
    assert table == wanted and len(wanted) == samples_store.N


def test_csv_holds_the_same_and_nothing_that_is_run(choice: export.Choice) -> None:
    lines = list(csv.DictReader(io.StringIO(export.as_csv(choice).read().decode())))
    wanted = stored(choice)
    assert [int(line["sample_id"]) for line in lines] == [row["sample_id"] for row in wanted]
    assert set(lines[0]) == {*wanted[0], export.TAGS}
    for line, row in zip(lines, wanted, strict=True):
        text = row["text"]
        assert line["text"] == (f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") and text else text)
        assert float(line["entropy"]) == pytest.approx(row["entropy"], rel=1e-6)
        assert json.loads(line["top_probs"]) == pytest.approx(row["top_probs"])
        assert line["indoor"] == str(row["indoor"]).lower() and line["label"] == row["label"]
    assert sum(line["text"].startswith("'") for line in lines) == 5 + sum(t[0] == "'" for t in map(str, HOSTILE)) * 4
    assert all(not str(value).startswith(("=", "+", "@", "\t")) for line in lines for value in line.values())


def test_numbers_keep_their_minus_sign(choice: export.Choice) -> None:
    lines = list(csv.DictReader(io.StringIO(export.as_csv(choice).read().decode())))
    below = [row["score"] for row in stored(choice) if row["score"] < 0]
    assert [float(line["score"]) for line in lines if line["score"].startswith("-")] == pytest.approx(below)


def test_the_zip_has_the_original_files_and_says_what_is_missing(choice: export.Choice) -> None:
    with zipfile.ZipFile(export.as_zip(choice)) as archive:
        lines = list(csv.DictReader(io.StringIO(archive.read(export.MANIFEST).decode())))
        names = [name for name in archive.namelist() if name != export.MANIFEST]
        assert len(set(names)) == len(names) == samples_store.N - 1
        for line in lines:
            original = choice.run.root / line["uri"]
            if int(line["sample_id"]) == samples_store.LOST:
                assert line["file"] == "" and "not found" in line["status"]
            else:
                assert line["status"] == "included" and archive.read(line["file"]) == original.read_bytes()
    assert [int(line["sample_id"]) for line in lines] == [row["sample_id"] for row in stored(choice)]


def test_a_full_archive_lists_what_was_left_out(choice: export.Choice) -> None:
    sizes = [(choice.run.root / make_store.uri(s)).stat().st_size for s in make_store.scenes(samples_store.N)[:3]]
    with zipfile.ZipFile(export.as_zip(choice, most_bytes=sum(sizes))) as archive:
        kept = sum(info.file_size for info in archive.infolist() if info.filename != export.MANIFEST)
        assert 0 < kept <= sum(sizes)
        assert "left out: the archive is full" in archive.read(export.MANIFEST).decode()


def test_limits_keep_the_first_rows(choice: export.Choice) -> None:
    first = [row["sample_id"] for row in stored(choice)[:4]]
    assert pq.read_table(io.BytesIO(export.as_parquet(choice, 4).read()))["sample_id"].to_pylist() == first
    lines = list(csv.DictReader(io.StringIO(export.as_csv(choice, 4).read().decode())))
    assert [int(line["sample_id"]) for line in lines] == first
    with zipfile.ZipFile(export.as_zip(choice, 4)) as archive:
        lines = list(csv.DictReader(io.StringIO(archive.read(export.MANIFEST).decode())))
    assert [int(line["sample_id"]) for line in lines] == first


@pytest.mark.parametrize(
    "uri", ["../../etc/passwd", "a/b c?.png", "con:/x\\y.jpg", "....", "/", "é" * 300 + ".png", *HOSTILE]
)
def test_names_are_safe_and_unique(uri: str) -> None:
    one, two = export.safe_name(7, uri), export.safe_name(8, uri)
    assert (
        one != two
        and len(one) < 110
        and set(one) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    )
    assert one.startswith("000000007_") and Path(one).name == one


def test_pictures_outside_the_data_folder_are_not_taken(choice: export.Choice, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    row = {"sample_id": 1, "uri": f"../../../../../../../..{tmp_path}/secret.png"}
    with zipfile.ZipFile(io.BytesIO(), "w") as archive:
        assert export._put(archive, choice.run, row, 1000) == ("", "outside the data folder", 0)
        assert archive.namelist() == []


def test_nothing_is_left_in_the_temporary_folder(
    choice: export.Choice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    export.as_parquet(choice).close()
    with pytest.raises(Exception, match="no_such"):
        export.as_csv(
            export.Choice(choice.run, SampleQuery("predicted", filters=(Filter("no_such", "eq", 1),)), choice.reviews)
        )
    assert list(tmp_path.iterdir()) == []
