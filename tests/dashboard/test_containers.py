"""Tiles of pictures that are no files of their own: members of tars, rows of tables."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dashboard import overlays, tiles
from dashboard.data import Run, close_readers
from dashboard.overlays import Look
from dashboard.samples import export
from jobs.run import run_audit
from jobs.spec import RunSpec
from storage import SampleQuery
from tests.jobs.conftest import CLASSES, save_vit
from tests.jobs.hub_tables import noise, write_parquet, write_saved
from tests.jobs.shards import encoded, write_shards
from tests.jobs.web import Web, served


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"timm:local-dir:{save_vit(tmp_path_factory.mktemp('models') / 'tiny', CLASSES)}"


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    close_readers()


def audited(data: str | Path, store: Path, vit: str) -> Run:
    run_audit(RunSpec(data=str(data), model=vit, store=str(store), name="run", workers=0, device="cpu"))
    return Run.open(store, "run")


def assert_drawn(run: Run, count: int) -> None:
    """Every tile and every large picture shows noise of its own, not a notice."""
    rows = run.page(SampleQuery("predicted"), 1, 20)
    assert len(rows) == count
    for row, tile in zip(rows, tiles.gallery(run, rows, Look("original")), strict=True):
        picture = overlays.open_upright(io.BytesIO(encoded(int(row["sample_id"]))), tiles.TILE)
        wanted = overlays.on_square(picture, tiles.TILE)
        assert np.abs(np.asarray(overlays.decode(tile), int) - np.asarray(wanted, int)).mean() < 8
        _, size = tiles.large(run, row, None, Look("original"), 96)
        assert size == (96, 80) and tiles.is_there(run, row)


def test_tiles_of_shards(tmp_path: Path, vit: str) -> None:
    run = audited(write_shards(tmp_path / "shards"), tmp_path / "store", vit)
    assert_drawn(run, 6)
    row = run.page(SampleQuery("predicted"), 1, 1)[0]
    gone = replace(run, record=replace(run.record, dataset={**run.record.dataset, "root": str(tmp_path / "none")}))
    with pytest.raises(tiles.MissingPicture, match="not found"):
        tiles.large(gone, row, None, Look(), 96)


def test_members_are_exported(tmp_path: Path, vit: str) -> None:
    run = audited(write_shards(tmp_path / "shards"), tmp_path / "store", vit)
    with zipfile.ZipFile(export.as_zip(export.Choice(run, SampleQuery("predicted"), None))) as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
        assert len(names) == 6 and archive.read("000000003_0003.png") == encoded(3)


def test_tiles_of_tables(tmp_path: Path, vit: str) -> None:
    for name, data in (
        ("saved", write_saved(tmp_path / "saved", [noise(0, 4), noise(4, 2)])),
        ("hub", write_parquet(tmp_path / "hub.parquet", noise(0, 6))),
    ):
        assert_drawn(audited(data, tmp_path / name, vit), 6)


def test_tiles_behind_urls(tmp_path: Path, vit: str) -> None:
    """Shards of a web server, and a manifest of URLs; no other host is ever asked."""
    write_shards(tmp_path / "web/shards")
    for i in range(3):
        (tmp_path / "web" / f"{i}.png").write_bytes(encoded(i))
    with served(Web(tmp_path / "web")) as web, served(Web(tmp_path / "web")) as other:
        (tmp_path / "rows.csv").write_text("\n".join(["image", *(f"{web.url}/{i}.png" for i in range(3))]))
        shards = audited(f"{web.url}/shards/train-{{000000..000001}}.tar", tmp_path / "a", vit)
        urls = audited(tmp_path / "rows.csv", tmp_path / "b", vit)
        assert_drawn(shards, 6)
        assert_drawn(urls, 3)
        for run in (shards, urls):
            row = {**run.page(SampleQuery("predicted"), 1, 1)[0], "uri": f"{other.url}/0.png"}
            with pytest.raises(tiles.MissingPicture, match="outside"):
                tiles.large(run, row, None, Look(), 96)
            assert len(tiles.gallery(run, [row], Look())) == 1 and not tiles.is_there(run, row)
        assert other.log == []
    row = urls.page(SampleQuery("predicted"), 1, 1)[0]
    with pytest.raises(tiles.MissingPicture, match="cannot be reached"):
        tiles.large(urls, row, None, Look(), 96)
