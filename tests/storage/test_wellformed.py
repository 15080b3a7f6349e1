"""Files of a run whose JSON says what nobody wrote: the part or segment is named, the rest is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from storage import RunReader, Store

NOT_WRITTEN: dict[str, Any] = {
    "contents.rows": -1,
    "contents.samples": 2.5,
    "contents.failed": True,
    "contents.min_id": "0",
    "contents.max_id": 2**63,
    "contents.image_widths": [0],
    "contents.text_widths": 49,
    "contents.feature_widths": [2**21],
    "contents.patch_widths": ["24"],
    "contents.seconds": {"read": "fast"},
    "contents.unknown": 1,
    "contents": [],
    "bytes": None,
}
OF_PARTS: dict[str, Any] = {
    "part": 7,
    "checksum": 0,
    "committed_at": None,
    "failures": [{"sample_id": "7", "uri": "a.jpg", "reason": "why"}],
}
OF_SEGMENTS: dict[str, Any] = {"segment": 7, "parts": ["0"], "sealed_at": 5}


@pytest.fixture
def folder(shared_store: Store, tmp_path: Path) -> Path:
    """A copy of a run of two segments and a part that is not sealed yet."""
    return shutil.copytree(shared_store.root, tmp_path / "store") / "runs" / "mixed"


def changed(path: Path, name: str, value: Any) -> None:
    """Put a value into a JSON file."""
    document = json.loads(path.read_text())
    *outer, last = name.split(".")
    place = document
    for key in outer:
        place = place[key]
    place[last] = value
    path.write_text(json.dumps(document))


def opened(folder: Path) -> RunReader:
    return Store.open(folder.parents[1]).reader("mixed")


def rows(reader: RunReader) -> int:
    return int(reader.query("SELECT count(*) AS n FROM samples")[0]["n"])


@pytest.mark.parametrize("name", [*NOT_WRITTEN, *OF_PARTS])
def test_a_part(folder: Path, name: str) -> None:
    path = folder / "parts" / "00003.json"
    with opened(folder) as reader:
        whole, lost = rows(reader), json.loads(path.read_text())["contents"]["samples"]
    changed(path, name, (NOT_WRITTEN | OF_PARTS)[name])
    with opened(folder) as reader:
        assert reader.problems == ["part 3 will be computed again: its manifest is unreadable"]
        assert rows(reader) == whole - lost


@pytest.mark.parametrize("name", [*NOT_WRITTEN, *OF_SEGMENTS])
def test_a_segment(folder: Path, name: str) -> None:
    path = sorted((folder / "segments").glob("*.json"))[0]
    changed(path, name, (NOT_WRITTEN | OF_SEGMENTS)[name])
    with opened(folder) as reader:
        assert f"segment {path.stem} is missing or cut" in reader.problems


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"x"', "[" * 100_000])
def test_what_is_no_object(folder: Path, text: str) -> None:
    (folder / "parts" / "00003.json").write_text(text)
    with opened(folder) as reader:
        assert reader.problems == ["part 3 will be computed again: its manifest is unreadable"]
