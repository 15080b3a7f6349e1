"""Folders and manifests become the same columns, and what is wrong with them is said in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs.errors import JobError
from jobs.readers import read_dataset


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)
    return path


def manifest(folder: Path, text: str, name: str = "rows.csv") -> Path:
    for image in ("a.png", "b.png"):
        picture(folder / image)
    (folder / name).write_text(text)
    return folder / name


def test_class_folders(tmp_path: Path) -> None:
    for name in ("dog/2.png", "cat/deep/1.png", "cat/0.JPG", ".hidden/x.png", "cat/.y.png", "notes.txt"):
        picture(tmp_path / name) if not name.endswith("txt") else (tmp_path / name).write_text("x")
    data = read_dataset(tmp_path)
    assert data.kind == "class folders"
    assert data.uris.to_pylist() == ["cat/0.JPG", "cat/deep/1.png", "dog/2.png"]
    assert data.label.to_pylist() == ["cat", "cat", "dog"]
    assert data.class_names == ["cat", "dog"]
    assert data.notes == ("passed over 1 files whose names are not those of pictures",)


def test_flat_folder_has_no_labels(tmp_path: Path) -> None:
    picture(tmp_path / "b.png"), picture(tmp_path / "a.png")
    data = read_dataset(tmp_path)
    assert (data.kind, data.uris.to_pylist(), data.label) == ("flat folder", ["a.png", "b.png"], None)


def test_splits_are_not_classes(tmp_path: Path) -> None:
    picture(tmp_path / "train/cat/1.png"), picture(tmp_path / "val/cat/1.png")
    assert "look like splits" in read_dataset(tmp_path).notes[0]


def test_a_link_to_its_own_parent_ends(tmp_path: Path) -> None:
    picture(tmp_path / "cat/1.png")
    (tmp_path / "cat/again").symlink_to(tmp_path)
    assert len(read_dataset(tmp_path)) == 1


def test_fingerprint_follows_the_files(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    before = read_dataset(tmp_path).fingerprint
    assert read_dataset(tmp_path).fingerprint == before
    picture(tmp_path / "b.png")
    assert read_dataset(tmp_path).fingerprint != before


def test_limit_spreads_over_class_folders(tmp_path: Path) -> None:
    for i in range(10):
        picture(tmp_path / f"cat/{i}.png"), picture(tmp_path / f"dog/{i}.png")
    data = read_dataset(tmp_path).limited(4)
    assert data.label.to_pylist() == ["cat", "cat", "dog", "dog"] and len(data) == 4


CSV = 'image,label,text,shot at,zip,good\na.png,3,"a, b",1.5,01234,true\nb.png,7,,2,99999,False\n'


def test_csv_keeps_types(tmp_path: Path) -> None:
    data = read_dataset(manifest(tmp_path, CSV))
    assert data.root == tmp_path and data.uris.to_pylist() == ["a.png", "b.png"]
    assert data.label.to_pylist() == ["3", "7"] and data.text.to_pylist() == ["a, b", None]
    assert {name: str(column.type) for name, column in data.metadata.items()} == {
        "shot at": "double",
        "zip": "string",  # 01234 is no number
        "good": "bool",
    }


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "semicolon.csv", "rows.jsonl", "rows.parquet"])
def test_all_formats_say_the_same(tmp_path: Path, name: str) -> None:
    rows = [
        {"image": "a.png", "label": "cat", "boxes": "[[0, 0, 2, 2]]", "year": 2001, "x": 0.5},
        {"image": "b.png", "label": None, "boxes": None, "year": 2002, "x": None},
    ]
    path = manifest(tmp_path, "", name)
    separator = {"rows.csv": ",", "rows.tsv": "\t"}.get(name, ";")
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif name.endswith("jsonl"):
        path.write_text("\n".join(json.dumps(row) for row in rows))
    else:
        lines = [[str(value) if value is not None else "" for value in row.values()] for row in rows]
        quoted = [[f'"{value}"' if "[" in value else value for value in line] for line in lines]
        path.write_text("\n".join(separator.join(line) for line in [list(rows[0]), *quoted]) + "\n")
    data = read_dataset(path)
    assert data.label.to_pylist() == ["cat", None]
    assert data.boxes.to_pylist() == ["[[0, 0, 2, 2]]", None]
    assert data.metadata["year"].to_pylist() == [2001, 2002] and data.metadata["x"].to_pylist() == [0.5, None]


def test_jsonl_with_lists_and_missing_keys(tmp_path: Path) -> None:
    path = manifest(
        tmp_path, '{"image": "a.png", "boxes": [[1, 2, 3, 4]]}\n\n{"image": "b.png", "who": {"id": 1}}\n', "r.jsonl"
    )
    data = read_dataset(path)
    assert data.boxes.to_pylist() == ["[[1, 2, 3, 4]]", None]
    assert data.metadata["who"].to_pylist() == [None, '{"id": 1}']


def test_labels_with_gaps_stay_whole_numbers(tmp_path: Path) -> None:
    path = manifest(tmp_path, "", "r.parquet")
    pq.write_table(pa.table({"image": ["a.png", "b.png"], "label": [3.0, None]}), path)
    assert read_dataset(path).label.to_pylist() == ["3", None]


def test_absolute_paths_below_the_root_become_relative(tmp_path: Path) -> None:
    data = read_dataset(manifest(tmp_path, f"image\n{tmp_path}/a.png\n./b.png\n"))
    assert data.uris.to_pylist() == ["a.png", "b.png"]


def test_duplicates(tmp_path: Path) -> None:
    assert read_dataset(manifest(tmp_path, "image\na.png\nb.png\n./a.png\n")).problems == {
        2: "repeats the image of row 1"
    }
    captions = "image,text\na.png,one\na.png,two\na.png,one\n,three\n,three\n"
    data = read_dataset(manifest(tmp_path, captions))
    assert data.problems == {2: "repeats the image and text of row 1"}
    assert data.without_picture == [3, 4] and data.uris.to_pylist()[2:] == ["a.png", "row 4", "row 5"]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (
            "file_name,label\na.png,cat\n",
            "r.csv",
            "r.csv has no column 'image' (or 'text'), only file_name, label; rename 'file_name'",
        ),
        ("immage\na.png\n", "r.csv", "rename 'immage' to 'image'?"),
        ("", "r.csv", "r.csv is empty"),
        ("image,label\n", "r.csv", "has no rows"),
        ("image,image\na.png,a.png\n", "r.csv", "two columns named 'image'"),
        ("image,label\na.png\n", "r.csv", "cannot read"),
        ("image\nx/a.png\nx/b.png\n", "r.csv", "none of the first 2 pictures exists, for example x/a.png"),
        ('{"image": "a.png"}\n{"image": \n', "r.jsonl", "line 2 is not JSON"),
        ("[1]\n", "r.jsonl", "line 1 is not a JSON object"),
        ("PAR1", "r.parquet", "cannot read"),
        ("a", "r.xlsx", "cannot read this type of file"),
    ],
)
def test_bad_manifests(tmp_path: Path, text: str, name: str, message: str) -> None:
    with pytest.raises(JobError) as caught:
        read_dataset(manifest(tmp_path, text, name))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_pictures_inside_a_parquet_are_refused(tmp_path: Path) -> None:
    path = manifest(tmp_path, "", "r.parquet")
    pq.write_table(pa.table({"image": [b"\x89PNG"]}), path)
    with pytest.raises(JobError, match="expected text"):
        read_dataset(path)


def test_missing_and_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(JobError, match=r"no such file or folder; did you mean .*photos"):
        read_dataset(tmp_path / "photo")
    with pytest.raises(JobError, match="no pictures in folder"):
        read_dataset(tmp_path / "photos")
    (tmp_path / "photos/readme.md").write_text("x")
    with pytest.raises(JobError, match=r"\(1 other files\)"):
        read_dataset(tmp_path / "photos")


def test_names_that_are_no_text_are_counted(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    os.rename(tmp_path / "a.png", os.fsencode(tmp_path) + b"/\xff.png")
    picture(tmp_path / "b.png")
    data = read_dataset(tmp_path)
    assert data.uris.to_pylist() == ["b.png"] and "not valid UTF-8" in data.notes[0]


def test_texts_alone(tmp_path: Path) -> None:
    data = read_dataset(manifest(tmp_path, "text,label\nso good,1\n,0\nso good,1\n"))
    assert data.uris.to_pylist() == ["row 1", "row 2", "row 3"] and data.problems == {}
    assert data.text.to_pylist() == ["so good", None, "so good"] and data.picture(0) is None
    assert data.take(np.array([2])).without_picture == [0]


def test_features_are_references(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f/all.h5").write_bytes(b"")
    data = read_dataset(manifest(tmp_path, "image,features,text\na.png,./f/all.h5#a/1,x\nnone.png,,y\n"))
    assert data.features.to_pylist() == ["f/all.h5#a/1", None] and data.picture(1) == "none.png"
    with pytest.raises(JobError, match=r"none of the first 2 features files exists, for example a\.npz"):
        read_dataset(manifest(tmp_path, "image,features\na.png,a.npz\nb.png,b.npz\n"))


def test_features_inside_a_parquet_are_left_there(tmp_path: Path) -> None:
    path = manifest(tmp_path, "", "r.parquet")
    rows = {
        "image": ["a.png", "b.png"],
        "features": [[[1.0, 2.0]], None],
        "boxes": [[[0.0, 0, 1, 1]], None],
        "n": [1, 2],
    }
    pq.write_table(pa.table(rows), path)
    data = read_dataset(path)
    assert data.features.to_pylist() == ["r.parquet#0", "r.parquet#1"] and data.boxes is None
    assert list(data.metadata) == ["n"]


def test_vectors_written_out_as_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="column 'features' holds the numbers themselves: put them into"):
        read_dataset(manifest(tmp_path, '{"image": "a.png", "features": [[1, 2]]}', "r.jsonl"))
