"""Samples of WebDataset shards: members of one name without its extension belong together."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from jobs.pictures import EXTENSIONS
from jobs.readers.dataset import ROLES
from jobs.readers.tables import as_column
from storage.media.tars import Member

NAME = re.compile(r"((?:.*/)?[^/.]+)\.([^/]+)", re.DOTALL)  # up to the first dot, as WebDataset does
SIDE = {"txt": "text", "caption": "text", "cls": "label", "json": "json"}
MOST_BYTES = 1 << 24  # of a caption or a JSON member
KEYS = {"caption": "text", "text": "text", "label": "label", "split": "split"}  # of a .json member


@dataclass
class Sample:
    """What the members of one name say. `values` hold text, label, split, boxes and metadata."""

    picture: Member | None = None
    plain: bool = False  # the picture's extension is only that, as in x.jpg, not x.thumb.jpg
    mask: Member | None = None
    values: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None


def split_name(name: str) -> tuple[str, str] | None:
    """The name of a member's sample and its extension, in lower case; None for hidden files and those without one."""
    match = NAME.fullmatch(name)
    return None if match is None or PurePosixPath(name).name.startswith(".") else (match[1], match[2].lower())


def is_picture(extension: str) -> bool:
    """Whether `jpg` or `thumb.jpg` is that of a picture."""
    return f".{extension.rpartition('.')[2]}" in EXTENSIONS


def add_picture(sample: Sample, member: Member, extension: str) -> bool:
    """Take a picture, or a mask (`x.mask.png`); False when the sample has its picture already."""
    if extension.partition(".")[0] == "mask":
        sample.mask = member
        return True
    plain = "." not in extension
    if sample.picture is not None and (sample.plain or not plain):
        return False
    free = sample.picture is None
    sample.picture, sample.plain = member, plain
    return free


def add_side(sample: Sample, extension: str, content: bytes) -> None:
    """Take a caption, a label or a JSON object; what cannot be read becomes the sample's problem."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        sample.problem = f"the .{extension} of the sample is not UTF-8"
        return
    if SIDE[extension] != "json":
        sample.values[SIDE[extension]] = text.strip()
        return
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        sample.problem = "the .json of the sample is no JSON object"
        return
    for key, value in found.items():
        _add_key(sample, _storable(key), value)


def _add_key(sample: Sample, key: str, value: Any) -> None:
    """A key of a JSON member: members of their own (.txt, .cls) say more than keys do."""
    if key == "boxes" and isinstance(value, list):
        sample.values.setdefault(key, json.dumps(value))
    elif key in KEYS and isinstance(value, str | int | float):
        sample.values.setdefault(KEYS[key], _storable(str(value)))
    elif key not in ROLES and key != "image" and isinstance(value, str | int | float | bool):
        sample.values.setdefault(key, _storable(value) if isinstance(value, str) else value)


def _storable(text: str) -> str:
    """Text without halves of characters, which JSON can spell and no file can hold."""
    return text.encode("utf-8", "replace").decode()


@dataclass
class Columns:
    """The values of all samples so far, as columns that begin where a name was first seen."""

    rows: int = 0
    values: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, values: dict[str, Any]) -> None:
        """One more row."""
        for name, value in values.items():
            column = self.values.setdefault(name, [])
            column.extend([None] * (self.rows - len(column)))
            column.append(value)
        self.rows += 1

    def role(self, name: str) -> pa.Array | None:
        """The column of a role as string, blank text as null; None when no sample has it."""
        values = self._full(name)
        texts = [None if value is None or not str(value).strip() else str(value) for value in values]
        return pa.array(texts, pa.string()) if any(text is not None for text in texts) else None

    def metadata(self) -> dict[str, pa.Array]:
        """All other columns, typed."""
        return {name: as_column(self._full(name)) for name in sorted(self.values) if name not in (*ROLES, "image")}

    def _full(self, name: str) -> list[Any]:
        column = self.values.get(name, [])
        return column + [None] * (self.rows - len(column))
