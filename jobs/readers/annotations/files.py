"""Files and folders that a person named: read, or refused with one line and the nearest name that exists."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jobs.errors import JobError, nearest, one_line
from jobs.pictures import EXTENSIONS

LARGEST = 1e15  # of a coordinate or a score: what is above it, infinity too, is no measurement


def existing(path: str | Path, what: str, *, folder: bool = False) -> Path:
    """`path` when it is a file (or a folder); else `JobError` that offers what lies beside it."""
    path = Path(path).expanduser()
    if path.is_dir() if folder else path.is_file():
        return path
    if path.exists():
        kind = "a file" if folder else "a folder"
        raise JobError(f"{what} {path} is {kind}, expected {'a folder' if folder else 'a file'}")
    home = path.parent
    beside = sorted(entry.name for entry in home.iterdir()) if home.is_dir() else []
    close = nearest(path.name, beside, 1)
    hint = f"; did you mean {home / close[0]}?" if close else "" if home.is_dir() else f": there is no folder {home}"
    raise JobError(f"{what} {path} does not exist{hint}")


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises `JobError`."""
    path = existing(path, "annotation file")
    try:
        with open(path, encoding="utf-8-sig") as file:
            return json.load(file)
    except (ValueError, OSError, RecursionError) as error:  # broken JSON and broken UTF-8 are ValueErrors
        raise JobError(f"{path.name} is not readable JSON: {one_line(error, 120)}") from error


def value_of(entry: Any, key: str, where: str) -> Any:
    """`entry[key]`, or `JobError` that says where the key is missing, with the nearest one that is there."""
    if not isinstance(entry, dict):
        raise JobError(f"{where} is no JSON object")
    if key not in entry:
        close = nearest(key, list(map(str, entry)), 1)
        hint = (
            f"; did you mean '{close[0]}'?" if close else f", only {', '.join(list(map(str, entry))[:8]) or 'nothing'}"
        )
        raise JobError(f"{where} has no '{key}'{hint}")
    return entry[key]


def name_of(entry: Any, key: str, where: str) -> Any:
    """`entry[key]`, by which entries are found: a number or a text, else `JobError`."""
    found = value_of(entry, key, where)
    if isinstance(found, bool) or not isinstance(found, int | str):
        raise JobError(f"{where}: '{key}' is neither a number nor a text: {str(found)[:60]}")
    return found


def text_of(entry: Any, key: str, where: str) -> str:
    """`entry[key]` as it must be for the name of a file: a text, else `JobError`."""
    found = value_of(entry, key, where)
    if not isinstance(found, str) or not found or "\0" in found:
        raise JobError(f"{where}: '{key}' is no text: {str(found)[:60]}")
    return found


def is_number(value: Any) -> bool:
    """Whether a value of a JSON file is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def list_of(content: Any, key: str, where: str) -> list[Any]:
    """`content[key]` as a list; an empty one and anything else is a `JobError`."""
    found = value_of(content, key, where)
    if not isinstance(found, list):
        raise JobError(f"{where}: '{key}' is no list")
    if not found:
        raise JobError(f"{where}: '{key}' is empty")
    return found


def pictures_below(folder: Path) -> dict[str, Path]:
    """Every picture below a folder by its path in it without the extension, sorted."""
    found = {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")
    }
    if not found:
        raise JobError(f"no picture below {folder}")
    return found


def require_some(names: Iterable[str], folder: Path, where: str) -> None:
    """Refuse a folder that has none of the first pictures, as happens with another year's or split's folder."""
    names = list(names)[:20]
    if names and not any((folder / name).is_file() for name in names):
        inside = sorted(entry.name for entry in folder.iterdir())[:2000]
        close = nearest(names[0], inside, 1)
        hint = f"; there is {close[0]}" if close else f"; it holds {', '.join(inside[:3]) or 'nothing'}"
        raise JobError(f"{where}: none of the first {len(names)} pictures is in {folder}, for example {names[0]}{hint}")
