"""`--decode fast`: JPEGs at a fraction of their size, where that changes next to nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from engine.models.preprocess import LONGEST, SHORTEST, STRETCH, Preprocess
from engine.properties import PROPERTIES
from jobs.pictures import read, read_copy
from jobs.pipeline.drafting import enough_for
from jobs.pipeline.facts import properties_of
from storage import Store
from tests.jobs.conftest import Answer, assert_refused

Call = Callable[..., Answer]


def photo(path: Path, size: tuple[int, int], seed: int = 0, **options: object) -> Path:
    """A smooth picture with edges, (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    picture = Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST).filter(ImageFilter.GaussianBlur(2))
    picture.save(path, quality=92, **options)
    return path


def preprocess(fit: str, size: tuple[int, int] = (32, 32), edge: tuple[int, int] = (32, 32)) -> Preprocess:
    return Preprocess(lambda image: image, size, fit, edge)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("fit", "edge", "wanted"),
    [(SHORTEST, (40, 40), (107, 80)), (STRETCH, (32, 32), (64, 64)), (LONGEST, (32, 32), (64, 48))],
)
def test_what_is_enough(fit: str, edge: tuple[int, int], wanted: tuple[int, int]) -> None:
    enough = enough_for(preprocess(fit, (32, 32), edge))
    assert enough is not None
    assert enough(400, 300) == wanted and enough(300, 400) == wanted[::-1]


def test_no_copy_for_models_whose_inputs_vary() -> None:
    assert enough_for(Preprocess(None, (8, 8), "within", (8, 16), varies=True)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "copy"),
    [((512, 384), (128, 96)), ((500, 375), (125, 94)), ((100, 90), (100, 90)), ((2000, 400), (500, 100))],
)
def test_a_copy_is_as_small_as_may_be(tmp_path: Path, size: tuple[int, int], copy: tuple[int, int]) -> None:
    path = photo(tmp_path / "a.jpg", size)
    picture, file, whole = read_copy(path, enough_for(preprocess(SHORTEST)))
    assert (picture.size, whole) == (copy, size) and min(picture.size) >= 64
    assert file == read(path)[1]
    assert read_copy(path, None)[0].size == size


def test_a_turned_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = photo(tmp_path / "a.jpg", (800, 200), exif=exif)
    picture, _, whole = read_copy(path, lambda width, height: (50, 400) if height == 800 else (800, 200))
    assert whole == (200, 800) and picture.size == (100, 400)


def test_other_formats_come_whole(tmp_path: Path) -> None:
    assert read_copy(photo(tmp_path / "a.png", (512, 384)), enough_for(preprocess(SHORTEST)))[0].size == (512, 384)


def test_properties_are_nearly_the_same(tmp_path: Path) -> None:
    for seed in range(3):
        path = photo(tmp_path / "a.jpg", (1600, 1200), seed)
        whole, copy = (
            properties_of(read_copy(path, one)[0])
            for one in (None, enough_for(preprocess(SHORTEST, (224, 224), (224, 224))))
        )
        for name, before, after in zip(PROPERTIES, whole, copy, strict=True):
            assert after == pytest.approx(before, abs=0.1 if name == "sharpness" else 0.01), name


def test_a_fast_run_is_a_run_of_its_own_and_nearly_the_same(tmp_path: Path, vit: str, jobs: Call) -> None:
    for i in range(4):
        photo(tmp_path / "data" / ("cat", "dog")[i % 2] / f"{i}.jpg", (400, 300), i)
    found = {}
    for decode in ("exact", "fast"):
        answer = jobs(
            "run", "--data", tmp_path / "data", "--model", vit, "--store", tmp_path / "s", "--decode", decode, "--json"
        )
        assert answer.code == 0, answer
        found[decode] = json.loads(answer.out)["run"]
    assert found["exact"] != found["fast"]
    store = Store.open(tmp_path / "s")
    assert store.record(found["fast"]).spec["decode"] == "fast" and "decode" not in store.record(found["exact"]).spec
    rows = {}
    for decode, run in found.items():
        with store.reader(run) as reader:
            keys = [(sample, "predicted") for sample in range(4)]
            maps = reader.maps(keys, "image")
            sizes = reader.query(
                "SELECT width, height, view_x0, view_x1, file_bytes, label FROM samples ORDER BY sample_id"
            )
            rows[decode] = (sizes, np.stack([maps[key] for key in keys]))
    assert rows["exact"][0] == rows["fast"][0]
    assert not np.array_equal(rows["exact"][1], rows["fast"][1])
    assert np.abs(rows["exact"][1] - rows["fast"][1]).max() < 0.05 * rows["exact"][1].max()


def test_refusals(tmp_path: Path, vit: str, jobs: Call) -> None:
    photo(tmp_path / "data/a.jpg", (64, 64))
    common = ("run", "--data", tmp_path / "data", "--store", tmp_path / "s", "--model")
    assert_refused(jobs(*common, vit, "--decode", "fats"), "unknown --decode 'fats'", "did you mean fast?")
