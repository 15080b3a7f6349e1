"""Bytes of pictures by root and uri, and what may not be reached."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from storage import media
from storage.media import OutsideRoot, inside, locate, tars
from storage.media.naming import joined, member_of, origin
from tests.jobs.shards import write_tar


def content(root: Path, uri: str) -> bytes:
    with inside(root, uri).open() as file:
        return file.read()


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "a#1.tar").mkdir()
    (tmp_path / "a#1.tar" / "x.jpg").write_bytes(b"1")
    place = inside(tmp_path, "a#1.tar/x.jpg")
    assert content(tmp_path, "a#1.tar/x.jpg") == b"1" and place.is_there()
    before = place.stamp()
    os.utime(tmp_path / "a#1.tar" / "x.jpg", ns=(1, 1))
    assert place.stamp() != before
    with pytest.raises(FileNotFoundError):
        content(tmp_path, "none.jpg")
    assert not inside(tmp_path, "none.jpg").is_there()


def test_members_of_a_tar(tmp_path: Path) -> None:
    write_tar(tmp_path / "sub/t.tar", {"./a.jpg": b"one", "deep/ b.jpg": b"two", "a.jpg": b"last"})
    assert content(tmp_path, "sub/t.tar/a.jpg") == b"last"
    assert content(tmp_path, "sub/t.tar/deep/ b.jpg") == b"two"
    assert inside(tmp_path, "sub/t.tar/a.jpg").is_there() and not inside(tmp_path, "sub/t.tar/c.jpg").is_there()
    with pytest.raises(FileNotFoundError):
        content(tmp_path, "sub/t.tar/c.jpg")
    span = tars.find(str(tmp_path / "sub/t.tar"), "deep/ b.jpg")
    assert span is not None
    assert content(tmp_path, f"sub/t.tar#{span[0]}+{span[1]}/deep/ b.jpg") == b"two"


def test_a_tar_is_walked_once_and_again_when_it_changed(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "t.tar", {f"{i}.jpg": b"%d" % i for i in range(500)})
    assert content(tmp_path, "t.tar/7.jpg") == b"7"
    with path.open("r+b") as file:  # the headers are gone, the time says nothing happened: only the index knows
        time = path.stat().st_mtime_ns
        for member in range(500):
            file.seek(member * 1024)
            file.write(b"\0" * 512)
    os.utime(path, ns=(time, time))
    assert content(tmp_path, "t.tar/7.jpg") == b"7" and content(tmp_path, "t.tar/499.jpg") == b"499"
    write_tar(path, {"7.jpg": b"new"})
    assert content(tmp_path, "t.tar/7.jpg") == b"new"


def test_indexes_are_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tars, "REMEMBERED", 10)
    for name in "abcdef":
        write_tar(tmp_path / f"{name}.tar", {f"{i}.jpg": b"x" for i in range(4)})
        assert content(tmp_path, f"{name}.tar/3.jpg") == b"x"
        assert sum(len(index.keys) for index in tars._INDEXES.values()) <= 12
    assert content(tmp_path, "a.tar/0.jpg") == b"x"


def test_a_forked_child_and_a_pickle_read_the_same(tmp_path: Path) -> None:
    write_tar(tmp_path / "t.tar", {"a.jpg": b"x"})
    place = locate(tmp_path, "t.tar/a.jpg")
    assert pickle.loads(pickle.dumps(place)).open().read() == place.open().read() == b"x"
    child = os.fork()
    if child == 0:
        os._exit(0 if place.open().read() == b"x" else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    "uri",
    [
        "../x.jpg",
        "/etc/passwd",
        "t.tar/../../x.jpg",
        "../other/t.tar/a.jpg",
        "a/../../rows.arrow#1",
        "file:///etc/passwd",
        "http://127.0.0.1/x.jpg",
        "memory://x/y.jpg",
        "https://evil.example/x.jpg",
        "https://good.example.evil.example/x.jpg",
        "https://good.example@evil.example/x.jpg",
        "HTTPS://evil.example/x.jpg",
        "https://good.example/a/../x.jpg",
        "https://good.example/a/%2e%2e/x.jpg",
    ],
)
def test_nothing_outside_is_located(tmp_path: Path, uri: str) -> None:
    with pytest.raises(OutsideRoot):
        inside(tmp_path, uri, ["https://good.example"])


@pytest.mark.parametrize("uri", ["../x.jpg", "a/../../x.jpg", "http://h/x.jpg", "file:///x.jpg", "%2e%2e/x.jpg"])
def test_nothing_outside_a_remote_root(uri: str) -> None:
    for root in ("s3://bucket/data", "https://host/data"):
        if uri.startswith("%") and root.startswith("https"):
            assert inside(root, uri) == locate(root, uri), "a file of that very name: the percent sign is spelled out"
            continue
        with pytest.raises(OutsideRoot):
            inside(root, uri)


def test_a_host_of_the_dataset_is_followed(tmp_path: Path) -> None:
    place = inside(tmp_path, "https://good.example/a/x.jpg", ["https://good.example"])
    assert place == locate(tmp_path, "https://good.example/a/x.jpg")


def test_names() -> None:
    assert joined("/data", "a/b.jpg") == "/data/a/b.jpg"
    assert joined("s3://bucket/x", "a b.jpg") == "s3://bucket/x/a b.jpg"
    assert joined("s3://bucket/x", "../../../b.jpg") == "s3://bucket/b.jpg"
    assert joined("https://h/x%20y", "a b#1?.jpg") == "https://h/x%20y/a%20b%231%3F.jpg"
    assert joined("https://h/x", "a.tar#1+2/b c.jpg") == "https://h/x/a.tar#1+2/b%20c.jpg"
    assert joined("/data", "file:///tmp/a%20b.jpg") == "/tmp/a b.jpg"
    assert member_of("https://h/x/a.tar#1+2/b%20c.jpg") == ("https://h/x/a.tar", "b c.jpg", (1, 2))
    assert member_of("/d/a.tar.gz/b.jpg") is None and member_of("/d/a.tar") is None
    assert origin("S3://bucket/a/b") == "s3://bucket"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(OSError, match="not a file"):
        content(tmp_path, "pipe.jpg")


def test_media_needs_no_network_library_until_it_is_asked() -> None:
    import subprocess
    import sys

    code = "import sys, storage.media; sys.exit(bool({'fsspec', 'torch', 'aiohttp'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert media.is_url("s3://b/x") and not media.is_url("/s3:/b")
