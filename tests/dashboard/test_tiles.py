"""Tiles: made once, kept on disk where that is possible, and never an error for a picture that is not there."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dashboard import overlays, tiles
from dashboard.data import Run
from dashboard.overlays import Look
from dashboard.tiles import Cache, MissingPicture
from storage import SampleQuery
from tests.dashboard import make_store


@pytest.fixture
def run(store: Path, tmp_path: Path) -> Run:
    """The classification run, in a copy of the store that a test may change."""
    shutil.copytree(store, tmp_path / "store", ignore=shutil.ignore_patterns("cache"))
    return Run.open(tmp_path / "store", "shapes-vit")


def rows_of(run: Run, n: int = 6) -> list[dict[str, Any]]:
    return run.page(SampleQuery("predicted"), 1, n)


def files(run: Run) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in (run.store / "cache").rglob("*.jpg")}


def test_a_tile_is_the_blended_picture(run: Run) -> None:
    look = Look("map", 100, "magma")
    row = rows_of(run)[0]
    data = tiles.gallery(run, [row], look)[0]
    shown = np.asarray(overlays.decode(data), dtype=int)
    relevancy = run.maps([(row["sample_id"], "predicted")], "image")[(row["sample_id"], "predicted")].reshape(12, 12)
    picture = overlays.open_upright(run.root / row["uri"], tiles.TILE)
    wanted = overlays.on_square(overlays.blend(picture, relevancy, tiles.view_of(row), look), tiles.TILE)
    assert np.abs(shown - np.asarray(wanted, dtype=int)).mean() < 4


def test_the_second_time_comes_from_the_disk(run: Run) -> None:
    rows, look = rows_of(run), Look()
    first = tiles.gallery(run, rows, look)
    before = files(run)
    assert len(before) == 2 * 5, "five pictures, each as a thumbnail and as a tile; the missing one is not kept"
    assert tiles.gallery(run, rows, look) == first and files(run) == before


def test_the_key_holds_what_the_picture_depends_on(run: Run) -> None:
    row = rows_of(run)[0]
    base = tiles._key(run, row, Look(), "light")
    others = [
        tiles._key(run, row, Look(opacity=10), "light"),
        tiles._key(run, row, Look(colormap="magma"), "light"),
        tiles._key(run, row, Look("map"), "light"),
        tiles._key(run, row, Look(), "dark"),
        tiles._key(run, row, None, ""),
        tiles._key(run, {**row, "target": "label"}, Look(), "light"),
        tiles._key(replace(run, record=replace(run.record, created_at="later")), row, Look(), "light"),
    ]
    os.utime(run.root / row["uri"], ns=(1, 1))
    others.append(tiles._key(run, row, Look(), "light"))
    assert len({base, *others}) == len(others) + 1
    assert tiles._key(run, row, Look("map", 10), "light") == tiles._key(run, row, Look("map", 90), "light")


def test_without_a_usable_cache_folder_tiles_are_the_same(run: Run) -> None:
    rows, look = rows_of(run), Look()
    with_cache = tiles.gallery(run, rows, look)
    shutil.rmtree(run.store / "cache")
    (run.store / "cache").write_text("a file where the folder should be")
    assert tiles.gallery(run, rows, look)[:3] == with_cache[:3]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_store_still_shows_tiles(run: Run) -> None:
    run.store.chmod(0o555)
    try:
        assert len(tiles.gallery(run, rows_of(run), Look())) == 6
    finally:
        run.store.chmod(0o755)


def test_a_missing_or_broken_picture_is_a_tile_that_says_so(run: Run) -> None:
    rows = rows_of(run)
    (run.store / "root").mkdir()
    (run.store / "root" / "bar").mkdir()
    (run.store / "root" / rows[0]["uri"]).write_bytes(b"\x89PNG broken")
    moved = replace(run, record=replace(run.record, dataset={**run.record.dataset, "root": str(run.store / "root")}))
    shown = tiles.gallery(moved, rows, Look())
    assert {overlays.decode(data).size for data in shown} == {(tiles.TILE, tiles.TILE)}
    with pytest.raises(MissingPicture, match="cannot be read"):
        tiles.large(moved, rows[0], None, Look(), 300)
    with pytest.raises(MissingPicture, match="not found"):
        tiles.large(moved, rows[1], None, Look(), 300)


@pytest.mark.parametrize("uri", ["../../etc/passwd", "/etc/passwd", "a/../../x.png"])
def test_a_uri_cannot_leave_the_data_folder(run: Run, uri: str) -> None:
    with pytest.raises(MissingPicture, match="outside"):
        tiles.source(run, uri)
    assert len(tiles.gallery(run, [{**rows_of(run)[0], "uri": uri}], Look())) == 1


def test_a_map_that_forms_no_grid_leaves_the_picture(run: Run) -> None:
    assert tiles.laid_out(run, {}, np.ones(7)) is None
    assert tiles.laid_out(run, {}, np.ones(144)).shape == (12, 12)  # type: ignore[union-attr]


def test_a_cache_that_is_deleted_in_between_is_made_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    assert cache.get("abcd") is None
    cache.put("abcd", b"x")
    assert cache.get("abcd") == b"x" and not list(tmp_path.rglob("*.tmp"))
    shutil.rmtree(tmp_path / "cache")
    assert cache.get("abcd") is None


def test_the_large_picture_keeps_its_shape(run: Run) -> None:
    for row in rows_of(run, 12):
        if (run.root / row["uri"]).exists():
            data, size = tiles.large(run, row, None, Look("original"), 300)
            assert max(size) == 300 and overlays.decode(data).size == size
            width, height = Image.open(run.root / row["uri"]).size
            assert size[0] / size[1] == pytest.approx(width / height, rel=0.01)


def test_synthetic_maps_lie_on_the_drawn_object() -> None:
    """The drawn pictures and their maps agree, so that a shifted overlay would be seen in pictures of the pages."""
    scene = next(s for s in make_store.scenes(50) if make_store.CLASSES[s.label] == "circle" and s.size == (240, 160))
    flat = make_store.relevancy(scene, np.random.default_rng(0)).reshape(12, 12)
    heat, _ = overlays.spread(flat, make_store.view(scene.size), scene.size)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(x / 240 - scene.x) < 0.05 and abs(y / 160 - scene.y) < 0.07
