"""Tables of Hugging Face with the pictures in them. `saved_by_datasets.tar.xz` was made by datasets 5.2.0."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs.pictures import PictureError, decode
from jobs.readers import Dataset, read_dataset
from storage import Store
from storage.media import rows as table_rows
from tests.jobs.conftest import Answer, assert_refused
from tests.jobs.hub_tables import noise, table, write_parquet, write_saved
from tests.jobs.shards import encoded

Call = Callable[..., Answer]
MADE = Path(__file__).with_name("saved_by_datasets.tar.xz")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    with tarfile.open(MADE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def assert_pictures(data: Dataset, seeds: list[int]) -> None:
    for row, seed in enumerate(seeds):
        wanted = np.random.default_rng(seed).integers(0, 256, (8, 10, 3), np.uint8)
        name = data.picture(row)
        assert name is not None and np.array_equal(np.asarray(decode(data.at(name))), wanted)


def test_a_dataset_dict_of_the_library(made: Path) -> None:
    data = read_dataset(made / "dict")
    assert (data.kind, len(data), data.class_names) == ("saved dataset", 8, ["cat", "dog"])
    assert data.split.to_pylist() == ["train"] * 5 + ["test"] * 3
    assert data.label.to_pylist() == ["cat", "dog", "cat", "dog", None, "cat", "dog", None], "-1 is no label"
    assert data.text.to_pylist() == [f"photo {i}" for i in range(8)]
    assert data.metadata["file_name"].to_pylist() == [f"photo{i}.png" for i in range(8)]
    assert list(data.metadata) == ["weight", "file_name"] and "vector" in data.notes[0]
    assert data.uris[3].as_py() == "train/data-00001-of-00002.arrow#0"
    assert_pictures(data, list(range(8)))


def test_a_single_dataset_and_a_parquet_file_of_the_library(made: Path) -> None:
    for name in ("one", "hub.parquet"):
        data = read_dataset(made / name)
        assert data.split is None and data.label.to_pylist() == ["cat", "dog", "cat", None]
        assert_pictures(data, list(range(4)))


def test_a_copy_has_the_same_fingerprint(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "dict", tmp_path / "copy", copy_function=shutil.copyfile)
    assert read_dataset(tmp_path / "copy").fingerprint == read_dataset(made / "dict").fingerprint
    assert read_dataset(made / "one").fingerprint != read_dataset(made / "dict").fingerprint


def test_files_of_the_hub(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data/train-00000-of-00002.parquet", noise(0, 3))
    write_parquet(tmp_path / "data/train-00001-of-00002.parquet", noise(3, 2))
    write_parquet(tmp_path / "data/test-00000-of-00001.parquet", noise(5, 1))
    (tmp_path / "README.md").write_text("a dataset")
    data = read_dataset(tmp_path)
    assert data.split.to_pylist() == ["test"] + ["train"] * 5
    train = read_dataset(str(tmp_path / "data" / "train-*.parquet"))
    assert train.uris.to_pylist()[-1] == "train-00001-of-00002.parquet#1"
    assert np.array_equal(
        np.asarray(decode(train.at(train.uris[4].as_py()))),
        np.random.default_rng(4).integers(0, 256, (40, 48, 3), np.uint8),
    )


@pytest.mark.parametrize("kind", ["saved", "parquet"])
def test_rows_without_bytes(tmp_path: Path, kind: str) -> None:
    """A row may name a file instead, or have nothing; a damaged picture costs its row."""
    Image.new("RGB", (4, 4)).save(tmp_path / "named.png")
    Image.new("RGB", (5, 5)).save(tmp_path / "far.png")
    pictures = [
        {"bytes": encoded(0), "path": "was.png"},
        {"bytes": None, "path": str(tmp_path / "in" / "near.png")},
        {"bytes": None, "path": str(tmp_path / "far.png")},
        None,
        {"bytes": b"damaged", "path": None},
    ]
    rows = table(pictures, [0, 1, 0, 1, 7])
    if kind == "saved":
        root = write_saved(tmp_path / "in", [rows])
        data = read_dataset(root, [str(tmp_path)])
    else:
        data = read_dataset(write_parquet(tmp_path / "in" / "a.parquet", rows), [str(tmp_path)])
    (tmp_path / "named.png").rename(tmp_path / "in" / "near.png")
    first = data.uris[0].as_py()
    assert data.uris.to_pylist()[1:] == ["near.png", str(tmp_path / "far.png"), "row 4", first[:-1] + "4"]
    assert data.label.to_pylist() == ["cat", "dog", "cat", "dog", None] and data.without_picture == [3]
    sizes = [decode(data.at(data.uris[row].as_py())).size for row in range(3)]
    assert sizes == [(48, 40), (4, 4), (5, 5)]
    with pytest.raises(PictureError, match="not a picture"):
        decode(data.at(data.uris[4].as_py()))
    with pytest.raises(PictureError, match="not found"):
        decode(data.at(first[:-1] + "99"))


def test_what_is_wrong_is_one_line(tmp_path: Path, jobs: Call) -> None:
    good = write_saved(tmp_path / "saved", [noise(0, 2), noise(2, 2)])

    def refused(data: Path, *words: str) -> None:
        assert_refused(jobs("run", "--data", data, "--model", "timm:none", "--store", tmp_path / "s"), *words)

    os.truncate(good / "data-00001-of-00002.arrow", 500)
    refused(good, "cannot read", "data-00001-of-00002.arrow")
    (good / "data-00001-of-00002.arrow").unlink()
    refused(good, "is missing", "not complete")
    (good / "state.json").write_text("{")
    refused(good, "cannot read", "state.json")
    write_parquet(tmp_path / "p/a.parquet", noise(0, 2))
    write_parquet(tmp_path / "p/b.parquet", noise(0, 2).append_column("more", pa.array([1, 2])))
    refused(tmp_path / "p", "different columns")
    pq.write_table(pa.table({"image": pa.array([b"x"])}), tmp_path / "raw.parquet")
    refused(tmp_path / "raw.parquet", "holds binary")
    write_saved(tmp_path / "texts", [pa.table({"text": ["a", "b"]})])
    refused(tmp_path / "texts", "no column of pictures")


def test_row_groups_are_read_once_while_rows_come_in_order(tmp_path: Path) -> None:
    data = read_dataset(write_parquet(tmp_path / "a.parquet", noise(0, 8), group=4))
    table_rows._parquet_group.cache_clear()
    for row in range(8):
        decode(data.at(data.uris[row].as_py()))
    assert table_rows._parquet_group.cache_info().misses == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_over_both(tmp_path: Path, vit: str, jobs: Call, workers: int) -> None:
    write_saved(tmp_path / "saved", [noise(0, 3), noise(3, 3)])
    write_parquet(tmp_path / "p.parquet", noise(0, 6))
    scores = []
    for name in ("saved", "p.parquet"):
        answer = jobs(
            "run", "--data", tmp_path / name, "--model", vit, "--store", tmp_path / "s", "--name", name,
            "--workers", workers, "--json",
        )  # fmt: skip
        assert answer.code == 0 and json.loads(answer.out)["failed"] == 0, answer
        with Store.open(tmp_path / "s").reader(name) as reader:
            scores.append(
                reader.query("SELECT label, score FROM samples JOIN explanations USING (sample_id) ORDER BY ALL")
            )
    assert scores[0] == scores[1] and len(scores[0]) == 6
