from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.demo.cues import CUE_CLASSES
from jobs.demo.dataset import write_dataset

COUNTS = {"aligned": 6, "conflicting": 6, "clean": 3, "pairs": 12}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("demo"), 9, COUNTS)


@pytest.fixture(scope="module")
def rows(written: Path) -> list[dict[str, str]]:
    with written.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_same_seed_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "again", 9, COUNTS)
    assert contents(tmp_path / "again") == contents(written.parent)


def test_worker_processes_write_the_same_bytes(tmp_path: Path) -> None:
    write_dataset(tmp_path / "alone", 9, {"aligned": 66})
    write_dataset(tmp_path / "many", 9, {"aligned": 66}, workers=2)
    assert contents(tmp_path / "alone") == contents(tmp_path / "many")


def test_another_seed_gives_other_pictures(written: Path, tmp_path: Path) -> None:
    other = contents(write_dataset(tmp_path, 10, COUNTS).parent)
    here = contents(written.parent)
    pictures = [name for name in here if name.startswith("images/")]
    assert len(pictures) == 27
    assert all(here[name] != other[name] for name in pictures)


def test_nothing_is_painted_twice(tmp_path: Path) -> None:
    calls: list[int] = []
    for _ in range(2):
        write_dataset(tmp_path, 9, {"clean": 2}, progress=lambda done, total: calls.append(done))
    assert calls == [1, 2]
    write_dataset(tmp_path, 9, {"clean": 3}, progress=lambda done, total: calls.append(done))
    assert calls == [1, 2, 1, 2, 3]


def test_the_manifest_names_existing_files(written: Path, rows: list[dict[str, str]]) -> None:
    assert len(rows) == sum(COUNTS.values())
    assert len({row["image"] for row in rows}) == len(rows)
    for row in rows:
        sizes = [Image.open(written.parent / row[name]).size for name in ("image", "mask")]
        assert sizes == [(256, 256), (256, 256)]
        assert row["text"] and row["label"]
        marked = row["cue"] != "none" or row["problem"] in ("overlay", "watermark")
        assert bool(row["cue_mask"]) == marked
        assert row["cue_class"] == CUE_CLASSES.get(row["cue"], "")


def test_cue_free_twins_have_the_same_names_and_differ_at_the_cue(
    written: Path, rows: list[dict[str, str]], tmp_path: Path
) -> None:
    with write_dataset(tmp_path, 9, COUNTS, cues=False).open(newline="") as file:
        assert all(row["cue"] == "none" and not row["cue_mask"] for row in csv.DictReader(file))
    for row in rows:
        marked, twin = (np.asarray(Image.open(root / row["image"]), int) for root in (written.parent, tmp_path))
        change = np.abs(marked - twin).max(-1)
        cue = np.zeros(change.shape, bool)
        if row["cue_mask"]:
            cue = np.asarray(Image.open(written.parent / row["cue_mask"])) > 127
            assert (change[cue] > 5).mean() > 0.5
        assert (change[~cue] > 24).mean() < 0.01  # JPEG blurs a cue's edge a little


def test_the_reader_of_the_jobs_takes_it(written: Path) -> None:
    from jobs.readers import read_dataset

    dataset = read_dataset(written)
    assert len(dataset) == 27 and not dataset.problems
    assert dataset.class_names == ["boat", "car", "house", "lamp", "sheep", "tree"]
    assert {"cue", "problem", "object_size", "place", "light"} <= set(dataset.metadata)
