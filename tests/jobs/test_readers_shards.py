"""WebDataset shards become the same columns as a folder, and are explained and re-read like one."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.errors import JobError
from jobs.pictures import PictureError, decode, read_pictures
from jobs.readers import read_dataset
from storage import Store
from tests.jobs.conftest import Answer, assert_refused
from tests.jobs.shards import encoded, write_shards, write_tar

Call = Callable[..., Answer]


def test_a_folder_of_shards(tmp_path: Path) -> None:
    data = read_dataset(write_shards(tmp_path / "shards"))
    assert (data.kind, len(data), data.notes) == ("shards", 6, ())
    assert data.uris.to_pylist()[:2] == ["train-000000.tar/0000.png", "train-000000.tar/0001.png"]
    assert data.label.to_pylist() == ["cat", "dog"] * 3
    assert data.text.to_pylist()[5] == "photo 5"
    assert data.metadata["camera_id"].to_pylist() == list(range(6))
    assert data.metadata["night"].to_pylist() == [True, False] * 3
    assert data.pictures is None and not data.problems


def test_pictures_are_those_of_the_members(tmp_path: Path) -> None:
    data = read_dataset(write_shards(tmp_path / "shards"))
    good, pictures = read_pictures(data, [4, 0, 5])
    assert good == [4, 0, 5]
    for row, picture in zip(good, pictures, strict=True):
        assert np.array_equal(np.asarray(picture), np.asarray(Image.open(io.BytesIO(encoded(row)))))


@pytest.mark.parametrize("pattern", ["train-{000000..000002}.tar", "train-*.tar", "train-{000000,000001,000002}.tar"])
def test_patterns(tmp_path: Path, pattern: str) -> None:
    write_shards(tmp_path, 3)
    data = read_dataset(str(tmp_path / pattern))
    assert len(data) == 9 and data.root == tmp_path
    assert data.fingerprint == read_dataset(tmp_path).fingerprint


def test_shards_in_several_folders_share_a_root(tmp_path: Path) -> None:
    write_shards(tmp_path / "a", 1), write_shards(tmp_path / "b", 1)
    data = read_dataset(str(tmp_path / "{a,b}/train-000000.tar"))
    assert data.root == tmp_path
    assert data.uris.to_pylist()[3] == "b/train-000000.tar/0000.png"


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("train-{000000..000005}.tar", "there is no file"),
        ("none-*.tar", "no file matches"),
        ("train-{000005..000001}.tar", "must count upwards"),
        ("train-{0..99}{0..99}{0..99}.tar", "stands for 1000000 files"),
        ("{train-000000.tar,notes.txt}", "notes.txt is no .tar"),
    ],
)
def test_patterns_that_name_nothing(tmp_path: Path, pattern: str, words: str) -> None:
    write_shards(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(JobError, match=words):
        read_dataset(str(tmp_path / pattern))


def test_one_tar_with_names_in_folders(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "one.tar",
        {
            "./deep/a.JPG": encoded(0, kind="JPEG"),
            "./deep/a.json": b'{"label": 3, "caption": "x", "boxes": [[0, 0, 1, 1]], "nested": {}, "split": "val"}',
            "./deep/a.mask.png": encoded(1),
            "./b.thumb.png": encoded(2),
            "./b.png": encoded(3),
            "./.hidden.png": encoded(4),
            "./c.pyd": b"x",
            "../outside.png": encoded(5),
        },
    )
    data = read_dataset(path)
    assert data.uris.to_pylist() == ["one.tar/deep/a.JPG", "one.tar/b.png"]
    assert data.label.to_pylist() == ["3", None] and data.text.to_pylist() == ["x", None]
    assert data.boxes.to_pylist() == ["[[0, 0, 1, 1]]", None] and data.split.to_pylist() == ["val", None]
    assert data.mask.to_pylist() == ["one.tar/deep/a.mask.png", None]
    assert data.metadata == {}
    assert data.notes == (
        "passed over 2 members of tars that are no picture, .txt, .cls or .json",
        "passed over 1 further pictures of samples that have one",
    )
    assert decode(data.at("one.tar/deep/a.JPG")).size == (48, 40)


def test_texts_alone(tmp_path: Path) -> None:
    data = read_dataset(write_tar(tmp_path / "t.tar", {"a.txt": b"one", "b.txt": b" two ", "c.cls": b"1"}))
    assert data.uris.to_pylist() == ["t.tar/a", "t.tar/b", "t.tar/c"]
    assert data.text.to_pylist() == ["one", "two", None] and data.without_picture == [0, 1, 2]


def test_a_broken_member_costs_its_sample(tmp_path: Path) -> None:
    data = read_dataset(
        write_tar(
            tmp_path / "t.tar",
            {
                "a.png": b"no picture",
                "b.png": encoded(0),
                "b.json": b"{",
                "c.png": encoded(1),
                "c.txt": b"\xff\xfe\xff",
                "d.png": b"",
                "e.png": encoded(2),
                "e.json": json.dumps({"who": "\ud800"}).encode(),
            },
        )
    )
    assert data.problems == {
        1: "the .json of the sample is no JSON object",
        2: "the .txt of the sample is not UTF-8",
    }
    for row, reason in ((0, "not a picture"), (3, "empty file")):
        with pytest.raises(PictureError, match=reason):
            decode(data.at(data.uris[row].as_py()))
    assert data.metadata["who"].to_pylist() == [None] * 4 + ["?"]


def test_a_tar_that_is_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    write_shards(tmp_path, 2)
    path = tmp_path / "train-000001.tar"
    os.truncate(path, 5000 + 1024)
    data = read_dataset(tmp_path)
    assert len(data) == 4 and "1 tars are damaged or cut off" in data.notes[0] and path.name in data.notes[0]
    with pytest.raises(PictureError, match="truncated"):
        decode(data.at(data.uris[3].as_py()))
    path.write_bytes(b"x" * 4096)
    assert len(read_dataset(tmp_path)) == 3
    with pytest.raises(JobError, match="1 of 1 tars are damaged"):
        read_dataset(path)


def test_a_header_in_the_middle_that_is_damaged_is_told(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "t.tar", {"a.png": encoded(0), "b.png": encoded(1)})
    content = bytearray(path.read_bytes())
    second = content.index(b"b.png")
    content[second : second + 100] = b"\x07" * 100
    path.write_bytes(content)
    data = read_dataset(path)
    assert len(data) == 1 and "damaged" in data.notes[0]


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar"])
def test_compressed_tars_are_refused(tmp_path: Path, jobs: Call, name: str) -> None:
    plain = write_shards(tmp_path / "plain", 1) / "train-000000.tar"
    (tmp_path / "data").mkdir()
    packed = tmp_path / "data" / name
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for data in (packed, packed.parent, packed.parent / "*.t*"):
        answer = jobs("run", "--data", data, "--model", "timm:vit_tiny_patch16_224", "--store", tmp_path / "s")
        assert_refused(answer, "is compressed", "unpack it to a plain .tar")


def test_the_fingerprint_follows_the_shards(tmp_path: Path) -> None:
    before = read_dataset(write_shards(tmp_path)).fingerprint
    assert read_dataset(tmp_path).fingerprint == before
    write_tar(tmp_path / "train-000001.tar", {"a.png": encoded(9)})
    assert read_dataset(tmp_path).fingerprint != before


Stored = dict[str, tuple[str, float, np.ndarray]]


def stored(store: Path, run: str) -> Stored:
    """Label, score and map of every picture of a run, by the stem of its name."""
    with Store.open(store).reader(run) as reader:
        rows = reader.query("SELECT sample_id, uri, label, score FROM samples JOIN explanations USING (sample_id)")
        maps = reader.maps([(row["sample_id"], "predicted") for row in rows], "image")
        return {
            Path(row["uri"]).stem: (row["label"], row["score"], maps[row["sample_id"], "predicted"]) for row in rows
        }


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_is_that_of_the_same_pictures_in_a_folder(tmp_path: Path, vit: str, jobs: Call, workers: int) -> None:
    """Same maps whichever way the pictures came, also through forked workers."""
    write_shards(tmp_path / "shards")
    for i in range(6):
        path = tmp_path / "folder" / ("cat", "dog")[i % 2] / f"{i:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(i))
    common = ("--model", vit, "--store", tmp_path / "s", "--workers", workers, "--batch-size", 2, "--json")
    for name in ("shards", "folder"):
        answer = jobs("run", "--data", tmp_path / name, "--name", name, *common)
        assert answer.code == 0 and json.loads(answer.out)["failed"] == 0, answer
    found, wanted = stored(tmp_path / "s", "shards"), stored(tmp_path / "s", "folder")
    assert found.keys() == wanted.keys() and len(found) == 6
    for stem, (label, score, relevancy) in found.items():
        assert (label, score) == wanted[stem][:2]
        assert np.array_equal(relevancy, wanted[stem][2])


def test_the_run_keeps_a_relative_pattern(
    tmp_path: Path, vit: str, jobs: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(tmp_path)
    monkeypatch.chdir(tmp_path)
    answer = jobs("run", "--data", "train-{000000..000001}.tar", "--model", vit, "--store", "s", "--name", "x")
    assert answer.code == 0, answer
    record = Store.open(tmp_path / "s").record("x")
    assert record.spec["data"] == str(tmp_path / "train-{000000..000001}.tar")
    assert read_dataset(record.spec["data"]).fingerprint == record.dataset["fingerprint"]
