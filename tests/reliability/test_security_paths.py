"""What a manifest, a dataset's description or a store names cannot leave the folder of the data, unless allowed.

The canary is a picture outside that folder, of one colour that nothing else has: wherever it was read, it can be told.
"""

from __future__ import annotations

import csv
import json
import os
import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dashboard import data as dashboard_data
from dashboard import resume, tiles
from jobs.cli import main
from jobs.errors import JobError
from jobs.pictures import PictureError, decode
from jobs.readers import read_dataset
from jobs.readers.annotations.command import write_manifest
from jobs.run import run_audit
from jobs.spec import RunSpec
from storage import Store
from storage.media import MediaError, OutsideRoot, inside, locate
from tests.jobs.conftest import CLASSES, noise, save_vit

CANARY = (250, 3, 247)


@pytest.fixture
def vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"timm:local-dir:{save_vit(tmp_path_factory.mktemp('models') / 'vit', CLASSES)}"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """The canary, in a folder beside that of the data."""
    path = tmp_path / "private" / "diary.png"
    path.parent.mkdir()
    Image.new("RGB", (40, 48), CANARY).save(path)
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for i in range(3):
        noise(folder / f"{i}.png", i)
    return folder


def manifest(home: Path, *images: str, **columns: str) -> Path:
    path = home / "rows.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", *columns])
        writer.writerows([image, *columns.values()] for image in images)
    return path


def run(data: Path, model: str, tmp_path: Path, *allowed: Path, name: str | None = None):
    spec = RunSpec(
        str(data), model, store=str(tmp_path / "store"), workers=0, device="cpu", part_size=2, name=name,
        allow_outside=tuple(map(str, allowed)),
    )  # fmt: skip
    return run_audit(spec)


def ways(home: Path, secret: Path) -> list[str]:
    """How a row may try to name the canary: from the root, by dots, as a URL, and through links."""
    (home / "folder").symlink_to(secret.parent)
    (home / "file.png").symlink_to(secret)
    (home / "chain").symlink_to(home / "folder")
    return [
        str(secret),
        f"../{secret.parent.name}/{secret.name}",
        f"./1.png/../../{secret.parent.name}/{secret.name}",
        secret.as_uri(),
        secret.as_uri().upper().replace(str(secret).upper(), str(secret)),
        f"folder/{secret.name}",
        "file.png",
        f"chain/../chain/{secret.name}",
    ]


def test_rows_that_leave_fail_one_by_one_and_name_the_flag(home, secret, vit, tmp_path) -> None:
    tried = ways(home, secret)
    result = run(manifest(home, "0.png", *tried, "1.png"), vit, tmp_path)
    assert (result.explained, result.total_failed) == (2, len(tried))
    reasons = {entry["reason"]: entry["n"] for entry in result.failures}
    repeats = sum(n for reason, n in reasons.items() if reason.startswith("repeats the image"))
    outside = sum(n for reason, n in reasons.items() if "--allow-outside FOLDER" in reason)
    assert repeats + outside == len(tried) and outside >= 5
    assert any(f"--allow-outside {secret.parent}" in note for note in result.warnings)


def test_a_manifest_that_only_leaves_is_refused_as_a_whole(home, secret, vit, tmp_path, capsys) -> None:
    data = manifest(home, str(secret), f"../private/./{secret.name}")
    arguments = ["run", "--data", str(data), "--model", vit, "--store", str(tmp_path / "store")]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert f"all 2 pictures lie outside {home}" in said and f"--allow-outside {secret.parent} " in said
    assert not (tmp_path / "store").exists(), "nothing was made"


def test_the_flag_lets_them_be_read_and_shown(home, secret, vit, tmp_path) -> None:
    data = manifest(home, "0.png", str(secret), "1.png")
    refused = run(data, vit, tmp_path)
    assert (refused.explained, refused.total_failed) == (2, 1)
    allowed = run(data, vit, tmp_path, secret.parent)
    assert (allowed.explained, allowed.total_failed) == (3, 0)
    assert allowed.run != refused.run, "the same command with the flag does not find the finished run without it"
    record = Store.open(tmp_path / "store").record(allowed.run)
    assert record.dataset["allowed"] == [str(secret.parent)] and record.dataset["links"] is False
    shown = dashboard_data.Run.open(tmp_path / "store", allowed.run)
    row = next(row for row in shown.reader.query("SELECT * FROM samples") if row["uri"] == str(secret))
    assert tiles.is_there(shown, row)
    again = shlex.split(resume.command(record, tmp_path / "store"))
    assert again[again.index("--allow-outside") + 1] == str(secret.parent)
    hidden = dashboard_data.Run.open(tmp_path / "store", refused.run)
    with pytest.raises(tiles.MissingPicture, match="outside the data folder"):
        tiles.source(hidden, str(secret))


def test_this_machine_under_another_name_is_refused(home, secret, vit, tmp_path) -> None:
    with pytest.raises(JobError, match="unknown kind of address local://"):
        run(manifest(home, "0.png", f"local://{secret}"), vit, tmp_path)


def test_the_flag_allows_that_folder_and_no_other(home, secret, vit, tmp_path) -> None:
    other = noise(tmp_path / "other" / "x.png", 9)
    beside = noise(tmp_path / "private-too" / "x.png", 10)
    (secret.parent / "link.png").symlink_to(other)
    data = manifest(home, "0.png", str(secret), str(other), str(beside), str(secret.parent / "link.png"))
    result = run(data, vit, tmp_path, secret.parent)
    assert (result.explained, result.total_failed) == (2, 3)
    with pytest.raises(JobError, match="no such folder"):
        RunSpec(str(data), vit, allow_outside=(str(tmp_path / "none"),)).checked()


def test_masks_that_leave_are_not_read(home, secret, vit, tmp_path) -> None:
    for i, way in enumerate([str(secret), f"../private/{secret.name}"]):
        result = run(manifest(home, "0.png", "1.png", mask=way), vit, tmp_path, name=f"run{i}")
        assert result.explained == 2
        assert any("mask unusable: lies outside" in remark for remark in result.remarks)
        reader = Store.open(tmp_path / "store").reader(f"run{i}")
        assert [row["s"] for row in reader.query("SELECT mask_share AS s FROM explanations")] == [None, None]


def test_features_that_leave_are_not_read(home, secret, tmp_path) -> None:
    from jobs.pipeline.loading import Loading
    from jobs.pipeline.plan import Task

    np.savez(secret.with_suffix(".npz"), features=np.ones((1, 4), np.float32), boxes=np.full((1, 4), 0.5, np.float32))
    np.savez(home / "a.npz", features=np.ones((1, 4), np.float32), boxes=np.array([[0, 0, 1, 1]], np.float32))
    (home / "link.npz").symlink_to(secret.with_suffix(".npz"))
    rows = [("0.png", "a.npz"), ("1.png", str(secret.with_suffix(".npz"))), ("2.png", "link.npz")]
    (home / "rows.csv").write_text("\n".join(["image,features", *map(",".join, rows)]))
    data = read_dataset(home / "rows.csv")
    batch = Loading(data, None, None, {}, region_width=4)[Task(0, 0, 3, True)]
    assert batch.ids.tolist() == [0]
    assert [row for row, reason in batch.failures if "--allow-outside" in reason] == [1, 2]
    batch = Loading(read_dataset(home / "rows.csv", [str(secret.parent)]), None, None, {}, region_width=4)[
        Task(0, 0, 3, True)
    ]
    assert batch.ids.tolist() == [0, 1, 2]


def test_members_and_rows_of_files_that_lie_elsewhere_are_not_read(home, secret, tmp_path) -> None:
    import tarfile

    with tarfile.open(secret.parent / "t.tar", "w") as tar:
        tar.add(secret, "x.png")
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array([{"bytes": secret.read_bytes(), "path": "x"}], struct)}),
                   secret.parent / "t.parquet")  # fmt: skip
    (home / "in").symlink_to(secret.parent)
    for uri in ("../private/t.tar/x.png", "in/t.tar/x.png", "../private/t.parquet#0", "in/t.parquet#0"):
        assert decode(locate(home, uri)).getpixel((0, 0)) == CANARY, "it is there"
        data = read_dataset(manifest(home, "0.png", uri))
        with pytest.raises(PictureError, match="--allow-outside"):
            data.at(uri)
        assert decode(read_dataset(home / "rows.csv", [str(secret.parent)]).at(uri)).getpixel((0, 0)) == CANARY


def test_folders_built_of_links_work(home, secret, vit, tmp_path) -> None:
    """Whoever points at a folder asks for what its owner put into it; no text that somebody wrote names anything."""
    built = tmp_path / "built"
    (built / "dog").mkdir(parents=True)
    (built / "cat").symlink_to(home)
    (built / "dog" / "a.png").symlink_to(secret)
    result = run(built, vit, tmp_path)
    assert (result.explained, result.total_failed) == (4, 0)
    shown = dashboard_data.Run.open(tmp_path / "store", result.run)
    assert all(tiles.is_there(shown, row) for row in shown.reader.query("SELECT * FROM samples"))


def test_a_manifest_reached_by_a_link_is_at_home_in_both_names(home, vit, tmp_path) -> None:
    (tmp_path / "short").symlink_to(home)
    data = manifest(home, f"{tmp_path}/short/0.png", "1.png", f"{home}/2.png")
    for path in (data, tmp_path / "short" / "rows.csv"):
        found = read_dataset(path)
        assert not found.notes
        assert [decode(found.at(uri)).size for uri in found.uris.to_pylist()] == [(48, 40)] * 3


def test_descriptions_of_saved_datasets_cannot_leave(home, secret, tmp_path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    for name in ("../private/x.arrow", str(secret)):
        (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
        with pytest.raises(JobError):
            read_dataset(saved)
    (saved / "state.json").unlink()
    (saved / "dataset_dict.json").write_text(json.dumps({"splits": ["../private"]}))
    (secret.parent / "state.json").write_text(json.dumps({"_data_files": [{"filename": "x.arrow"}]}))
    with pytest.raises(JobError, match="cannot read"):
        read_dataset(saved)


def test_rows_of_tables_that_name_a_file_cannot_leave(home, secret) -> None:
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    names = ["0.png", str(secret), "x/../../private/diary.png"]
    rows = pa.array([{"bytes": None, "path": name} for name in names], struct)
    pq.write_table(pa.table({"image": rows}), home / "a.parquet")
    data = read_dataset(home / "a.parquet")
    assert "2 pictures lie outside" in data.notes[0]
    for row in (1, 2):
        with pytest.raises(PictureError, match="--allow-outside"):
            data.at(data.uris[row].as_py())


def test_annotations_write_masks_into_their_folder_only(tmp_path, home) -> None:
    voc = tmp_path / "voc"
    (voc / "ImageSets" / "Main").mkdir(parents=True)
    for folder in ("JPEGImages", "Annotations", "SegmentationClass"):
        (voc / folder).mkdir()
    noise(voc / "x.jpg", 1)
    noise(voc / "JPEGImages" / "a.jpg", 1)
    Image.fromarray(np.ones((40, 48), np.uint8)).save(voc / "x.png")
    (voc / "ImageSets" / "Main" / "val.txt").write_text("../x\n")
    with pytest.raises(JobError, match="would lie outside"):
        write_manifest("voc", [voc, "val"], tmp_path / "out" / "rows.csv")
    assert not (tmp_path / "out" / "x.png").exists() and not (tmp_path / "out" / "rows.csv").exists()


@pytest.mark.parametrize("links", [True, False])
def test_the_reader_of_pictures_refuses_what_a_store_says(home, secret, links) -> None:
    """`inside` is what the dashboard asks, for runs that somebody else may have written."""
    for uri in ("../private/diary.png", str(secret), secret.as_uri(), "a/../../private/diary.png", "..", "/", "\0", ""):
        try:
            place = inside(home, uri, links=links)
        except OutsideRoot:
            continue
        assert not place.is_there() if uri != "\0" else True
    assert inside(home, str(secret), allowed=[str(secret.parent)], links=links).is_there()
    assert not inside(home, str(home / "none.png"), links=links).is_there()
    with pytest.raises(OutsideRoot):
        inside(home, f"{secret.parent}-too/x.png", allowed=[str(secret.parent)], links=links)


def test_addresses_are_allowed_by_their_beginning(home) -> None:
    allowed = ["https://good.example/pictures", "s3://bucket/a"]
    for uri in ("https://good.example/pictures/x.png", "s3://bucket/a/b/c.png"):
        inside(home, uri, allowed=allowed)
    for uri in (
        "https://good.example/other/x.png",
        "https://good.example/pictures-too/x.png",
        "https://good.example/pictures/../x.png",
        "https://good.example/pictures/%2e%2e/x.png",
        "s3://bucket/ab/c.png",
    ):
        with pytest.raises(OutsideRoot):
            inside(home, uri, allowed=allowed)


@pytest.mark.parametrize("kind", ["local", "dir", "reference", "git", "generic", "cached", "zip", "tar", "libarchive"])
def test_no_kind_of_address_is_this_machine_by_another_name(kind, home, secret) -> None:
    with pytest.raises((MediaError, OSError)) as caught:
        locate(home, f"{kind}://{secret}").open()
    assert "unknown kind of address" in str(caught.value)


def test_links_that_change_after_the_check_are_opened_as_checked(home, secret) -> None:
    """The place holds the real path: a link that is turned round between the check and the reading changes nothing."""
    (home / "link").symlink_to(home)
    place = inside(home, "link/0.png", links=False)
    os.unlink(home / "link")
    (home / "link").symlink_to(secret.parent)
    secret.rename(secret.parent / "0.png")
    with place.open() as file:
        assert Image.open(file).getpixel((0, 0)) != CANARY
