"""Data behind URLs: a real web server, fsspec's file system in memory, and what is refused."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from jobs.errors import JobError
from jobs.pictures import PictureError, decode
from jobs.readers import Dataset, read_dataset
from storage.media import http
from tests.jobs.conftest import Answer, assert_refused
from tests.jobs.hub_tables import noise, write_parquet, write_saved
from tests.jobs.shards import encoded, write_shards
from tests.jobs.web import Web, served

Call = Callable[..., Answer]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Pictures, a manifest, shards and a Parquet file."""
    root = tmp_path / "files"
    for i in range(4):
        path = root / "photos" / ("cat", "dog")[i % 2] / f"{i} ä#?.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(i))
    lines = [f"photos/{('cat', 'dog')[i % 2]}/{i} ä#?.png,{('cat', 'dog')[i % 2]}" for i in range(4)]
    (root / "rows.csv").write_text("\n".join(["image,label", *lines]))
    write_shards(root / "shards")
    write_parquet(root / "hub" / "train-00000-of-00001.parquet", noise(0, 6))
    return root


@pytest.fixture
def web(files: Path) -> Iterator[Web]:
    with served(Web(files)) as running:
        yield running


@pytest.fixture
def memory(files: Path) -> Iterator[str]:
    """The same files at memory://data."""
    system = fsspec.filesystem("memory")
    for path in files.rglob("*"):
        if path.is_file():
            system.pipe(f"/data/{path.relative_to(files)}", path.read_bytes())
    yield "memory://data"
    system.rm("/data", recursive=True)


def assert_same_pictures(data: Dataset, count: int) -> None:
    assert len(data) == count
    for row in range(count):
        name = data.picture(row)
        assert name is not None
        with data.at(name).open() as file:
            assert file.read() == encoded(row)


def test_manifests(web: Web, memory: str) -> None:
    for url in (web.url, memory):
        data = read_dataset(f"{url}/rows.csv")
        assert_same_pictures(data, 4)
        assert (data.root, data.kind, data.label.to_pylist()) == (url, "csv", ["cat", "dog"] * 2)


def test_file_urls_are_paths(files: Path) -> None:
    data = read_dataset((files / "rows.csv").as_uri())
    assert data.root == files and len(data) == 4
    assert read_dataset((files / "photos").as_uri()).kind == "class folders"


def test_folders(memory: str) -> None:
    data = read_dataset(f"{memory}/photos/")
    assert data.kind == "class folders" and data.label.to_pylist() == ["cat", "cat", "dog", "dog"]
    assert data.at(data.uris[1].as_py()).open().read() == encoded(2)
    before = data.fingerprint
    assert read_dataset(f"{memory}/photos").fingerprint == before
    fsspec.filesystem("memory").pipe("/data/photos/cat/9.png", encoded(9))
    assert read_dataset(f"{memory}/photos").fingerprint != before


@pytest.mark.parametrize("name", ["shards/train-{000000..000001}.tar", "shards/*.tar", "shards"])
def test_shards(web: Web, memory: str, name: str) -> None:
    for url in (memory,) if "{" not in name else (web.url, memory):
        data = read_dataset(f"{url}/{name}")
        assert_same_pictures(data, 6)
        assert data.root == f"{url}/shards" and data.text.to_pylist()[1] == "photo 1"


def test_a_member_is_read_by_its_range_alone(web: Web) -> None:
    data = read_dataset(f"{web.url}/shards/train-000001.tar")
    web.log.clear()
    assert data.at(data.uris[2].as_py()).open().read() == encoded(5)
    assert web.log == [("/shards/train-000001.tar", len(encoded(5)))]


def test_a_server_without_ranges(web: Web) -> None:
    web.ranges = False
    assert_same_pictures(read_dataset(f"{web.url}/shards/train-000000.tar"), 3)
    assert_same_pictures(read_dataset(f"{web.url}/hub/train-00000-of-00001.parquet"), 6)


def test_parquet_files(web: Web, memory: str) -> None:
    for url in (web.url, memory):
        data = read_dataset(f"{url}/hub/train-00000-of-00001.parquet")
        assert_same_pictures(data, 6)
        assert data.label.to_pylist() == ["cat", "dog"] * 3


def test_images_that_are_urls(web: Web, memory: str, tmp_path: Path) -> None:
    rows = [f"{web.url}/photos/cat/0%20%C3%A4%23%3F.png", f"{memory}/photos/dog/1 ä#?.png", f"{memory}/none.png"]
    (tmp_path / "m.csv").write_text("\n".join(["image", *rows, (tmp_path / "local.png").as_uri()]))
    (tmp_path / "local.png").write_bytes(encoded(3))
    data = read_dataset(tmp_path / "m.csv")
    assert data.origins == (web.url, "memory://data")
    assert [data.at(data.uris[i].as_py()).open().read() for i in (0, 1, 3)] == [encoded(i) for i in (0, 1, 3)]
    with pytest.raises(PictureError, match="not found"):
        decode(data.at(data.uris[2].as_py()))


def test_a_server_that_is_busy_is_asked_again(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PAUSE", 0.01)
    data = read_dataset(f"{web.url}/rows.csv")
    web.busy = 2
    assert decode(data.at(data.uris[0].as_py())).size == (48, 40)
    web.busy = 3
    with pytest.raises(PictureError, match="the server answered 503"):
        decode(data.at(data.uris[0].as_py()))


def test_redirects_stay_with_the_host(web: Web, tmp_path: Path) -> None:
    web.redirects = {
        "/moved.csv": "/rows.csv",
        "/away.csv": "http://localhost:1/rows.csv",
        "/f.csv": "file:///etc/passwd",
    }
    assert len(read_dataset(f"{web.url}/moved.csv")) == 4
    with pytest.raises(JobError, match="redirected to http://localhost:1"):
        read_dataset(f"{web.url}/away.csv")
    with pytest.raises(JobError):
        read_dataset(f"{web.url}/f.csv")


@pytest.mark.parametrize("name", ["rows.csv", "shards/train-{000000..000001}.tar"])
def test_a_run_over_http_with_workers(web: Web, vit: str, jobs: Call, tmp_path: Path, name: str) -> None:
    answer = jobs(
        "run", "--data", f"{web.url}/{name}", "--model", vit, "--store", tmp_path / "s", "--name", "r", "--workers", 2,
        "--json",
    )  # fmt: skip
    assert answer.code == 0 and json.loads(answer.out)["failed"] == 0, answer
    again = jobs("run", "--data", f"{web.url}/{name}", "--model", vit, "--store", tmp_path / "s", "--name", "r")
    assert again.code == 0


def test_what_is_refused(web: Web, memory: str, jobs: Call, tmp_path: Path) -> None:
    def refused(data: object, *words: str) -> None:
        assert_refused(jobs("run", "--data", data, "--model", "timm:none", "--store", tmp_path / "s"), *words)

    refused(f"{web.url}/none.csv", "no such file")
    refused(f"{memory}/none", "no pictures in memory://data/none")
    refused(f"{web.url}/photos", "does not list its files")
    refused(f"{web.url}/shards/*.tar", "does not list its files", "{000000..000009}")
    refused(f"{web.url}/a.tar.gz", "is compressed")
    refused("http://127.0.0.1:9/rows.csv", "the server cannot be reached")
    refused("nosuch://x/rows.csv", "unknown kind of address nosuch://")
    refused("zip://a.csv::http://127.0.0.1:9/b.zip", "chained")
    write_saved(tmp_path / "saved", [noise(0, 2)])
    system = fsspec.filesystem("memory")
    for path in (tmp_path / "saved").iterdir():
        system.pipe(f"/data/saved/{path.name}", path.read_bytes())
    refused(f"{memory}/saved", "read on this machine only")
    system.pipe("/data/features.csv", b"text,features\na,b.npz\n")
    refused(f"{memory}/features.csv", "region features are read on this machine only")


@pytest.mark.skipif(importlib.util.find_spec("s3fs") is not None, reason="needs s3fs to be missing")
def test_a_missing_package_is_named(jobs: Call, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("image\ns3://bucket/a.jpg\ns3://bucket/b.jpg\n")
    for data in ("s3://bucket/rows.csv", "s3://bucket/folder", "s3://bucket/{0..3}.tar", tmp_path / "m.csv"):
        answer = jobs("run", "--data", data, "--model", "timm:none", "--store", tmp_path / "s")
        assert_refused(answer, "s3:// addresses need a package that is not installed: pip install s3fs")
