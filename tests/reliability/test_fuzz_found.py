"""What fuzzing found: every input that once ended in something else than a right result or a clear error."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from model_folders import hf_vit_folder
from PIL import Image

from engine import load_model
from engine.errors import EngineError
from engine.models.checkpoint import read_checkpoint
from jobs.coverage import parse_boxes
from jobs.errors import JobError
from jobs.pictures import PictureError, decode, measure
from jobs.readers import read_dataset
from jobs.readers.annotations.command import write_manifest
from jobs.regions import RegionError, read_regions
from storage.errors import StoreError
from tests.jobs.hub_tables import noise, write_saved
from tests.reliability.fuzz.checkpoint import CALLS, executed, poisoned


@pytest.mark.parametrize("kind", [JobError, StoreError, EngineError])
def test_a_message_is_one_line_whatever_name_it_quotes(kind):
    assert str(kind("no column 'a\nb', only \x1b[31mred\0 日本語 é")) == "no column 'a b', only �[31mred� 日本語 é"
    assert str(kind("right-to-left \u202egnp.exe and half a character \ud800")).isprintable()
    long = str(kind(f"the column {'x' * 5000} is not there"))
    assert len(long) <= 1000 and long.startswith("the column xxx") and long.endswith("xxx is not there")


def test_the_command_line_says_one_printable_line(tmp_path):
    (tmp_path / "rows.csv").write_bytes(b'"a\nb\x1b[2J",c\n1,2\n')
    command = ["-m", "jobs", "run", "--data", str(tmp_path / "rows.csv"), "--model", "timm:x", "--store", str(tmp_path)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and done.stderr.strip().isprintable()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_turned_picture_is_measured_as_it_is_read(tmp_path, kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (24, 16)).save(tmp_path / "a", kind, exif=exif)
    assert measure(tmp_path / "a")[0] == decode(tmp_path / "a").size == (16, 24)


def test_a_program_in_postscript_is_no_picture(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", "EPS")
    with pytest.raises(PictureError, match="not a picture"):
        decode(tmp_path / "a.png")


@pytest.mark.parametrize("size", [["", 1], [np.zeros((2, 0)), 1], [np.zeros((2, 3)), "x"], [np.inf, 5], [np.nan, 5]])
def test_regions_of_a_picture_without_a_size(tmp_path, size):
    np.savez(
        tmp_path / "a.npz", features=np.ones((1, 6), np.float32), boxes=[[0, 0, 5, 5]], width=size[0], height=size[1]
    )
    with pytest.raises(RegionError, match="width and height of the features file are no"):
        read_regions(tmp_path, "a.npz", 6, None)


def test_a_table_with_two_columns_of_one_name(tmp_path):
    twice = pa.Table.from_arrays([pa.array(["a.png"])] * 2, ["image", "image"])
    pq.write_table(twice, tmp_path / "rows.parquet")
    with pytest.raises(JobError, match=r"rows.parquet has two columns named 'image'"):
        read_dataset(tmp_path / "rows.parquet")


def test_numbers_in_a_column_of_text(tmp_path):
    numbers = {
        "half": pa.array([1, 2.5], pa.float16()),
        "endless": pa.array([1.0, np.inf]),
        "whole": pa.array([1.0, None]),
    }
    told = {"half": ["1", "2.5"], "endless": ["1", "inf"], "whole": ["1", None]}
    for name, column in numbers.items():
        pq.write_table(pa.table({"text": ["a", "b"], "label": column}), tmp_path / f"{name}.parquet")
        assert read_dataset(tmp_path / f"{name}.parquet").label.to_pylist() == told[name]


COCO = {
    "images": [{"id": 1, "file_name": "a.png", "height": 4, "width": 4}],
    "categories": [{"id": 1, "name": "dog"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [0, 0, 2, 2],
         "segmentation": {"size": [4, 4], "counts": [4, 12]}}
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("images.0.height", 10**9, "an image of height 1000000000 and width 4 cannot be"),
        ("images.0.height", None, "an image of height None"),
        ("images.0.file_name", 7, "'file_name' is no text: 7"),
        ("images.0.id", [1], "'id' is neither a number nor a text"),
        ("annotations.0.image_id", {}, "'image_id' is neither a number nor a text"),
        ("annotations.0.bbox", [0, None, 2, 2], "a bbox is not"),
        ("annotations.0.segmentation.counts", "`54W1", "run lengths do not fit a picture of 4 x 4"),
        ("annotations.0.segmentation", 5, "neither polygons nor run lengths"),
        ("annotations.0.segmentation", [[0, 0, 1e9, 0, 1e9, 1e9]], "in or near a picture of 4 x 4"),
        ("annotations.0.segmentation", [{"size": [4, 4], "counts": [16]}], "in or near a picture of 4 x 4"),
    ],
)
def test_annotations_with_values_of_another_kind(tmp_path, place, value, words):
    document = json.loads(json.dumps(COCO))
    holder, keys = document, [int(key) if key.isdigit() else key for key in place.split(".")]
    for key in keys[:-1]:
        holder = holder[key]
    holder[keys[-1]] = value
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "coco.json").write_text(json.dumps(document))
    with pytest.raises(JobError, match=re.escape(words)):
        write_manifest("coco", [tmp_path / "coco.json", tmp_path], tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("state", [{"_data_files": [{}]}, {"_data_files": 5}, {"_data_files": [{"filename": [1]}]}])
def test_a_saved_dataset_whose_state_names_no_files(tmp_path, state):
    write_saved(tmp_path / "saved", [noise(0, 2)])
    (tmp_path / "saved" / "state.json").write_text(json.dumps(state))
    with pytest.raises(JobError, match=r"state.json does not name its files"):
        read_dataset(tmp_path / "saved")


def test_a_damaged_arrow_table_is_refused_and_not_read_beyond_its_end(tmp_path):
    write_saved(tmp_path / "saved", [noise(0, 3)])
    file = next((tmp_path / "saved").glob("*.arrow"))
    whole, ends = file.read_bytes(), set()
    for at in range(0, len(whole) - 8, 97):
        file.write_bytes(whole[:at] + b"\xff\xff\xff\x7f" + whole[at + 4 :])
        try:
            ends.add(len(read_dataset(tmp_path / "saved")))
        except JobError as error:
            ends.add(f"{'cannot read' in str(error)}")
    assert 3 in ends and "True" in ends


def test_boxes_that_are_no_numbers_are_a_value_error():
    for text in ("{}", "null", "[[{}]]", "[" * 5000):
        with pytest.raises(ValueError, match="boxes are"):
            parse_boxes(text)


def test_names_that_no_file_can_have(tmp_path):
    with pytest.raises(EngineError, match="is neither a folder nor"):
        load_model("x" * 5000)
    done = subprocess.run(
        [sys.executable, "-m", "jobs", "run", "--data", "x" * 5000, "--model", "y"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "File name too long" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("content", [b"X", b"\x80", b"", b"PK\x05\x06" + bytes(18), b"\x80\x02(."])
def test_a_file_that_is_no_checkpoint(tmp_path, content):
    for name in ("weights.pt", "weights.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(EngineError, match=r"cannot read checkpoint .*weights"):
            read_checkpoint(tmp_path / name)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("wrapping", ["pickle", "swapped", "new", "legacy"])
def test_code_in_a_checkpoint_never_runs(tmp_path, call, wrapping):
    executed().unlink(missing_ok=True)
    for protocol in (0, 2, 5):
        (tmp_path / "weights.pt").write_bytes(poisoned(call, wrapping, protocol))
        with pytest.raises(EngineError, match=r"cannot read checkpoint .*weights"):
            read_checkpoint(tmp_path / "weights.pt")
    assert not executed().exists()
    if call in ("system", "open", "exec", "eval"):  # elsewhere it does: the payloads are real ones
        pickle.loads(poisoned(call, "pickle", 0))
        assert executed().exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_hidden_layers": 2**31}, "its 'num_hidden_layers' is 2147483648"),
        ({"hidden_size": 2**14, "num_attention_heads": 2}, "parameters, and the weights in its folder have"),
        ({"image_size": "x"}, "cannot load"),
    ],
)
def test_a_configuration_that_is_not_that_of_the_weights(tmp_path, change, words):
    folder = hf_vit_folder(tmp_path / "vit", ["ant", "bee"])
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(EngineError, match=re.escape(words)):
        load_model(str(folder))
