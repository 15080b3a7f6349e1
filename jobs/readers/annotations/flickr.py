"""Captions as Flickr30k and Flickr8k come: results_20130124.token, or a CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from jobs.errors import JobError, nearest
from jobs.readers.annotations.files import existing, require_some
from jobs.readers.annotations.masks import MaskFolder
from jobs.readers.annotations.table import Rows

TOKEN = re.compile(r"(.+?)#(\d+)\t(.*)")
IMAGES, TEXTS = ("image_name", "image", "filename", "file_name"), ("comment", "caption", "text", "sentence")
Caption = tuple[str, int | None, str]


def read_captions(paths: Sequence[str], masks: MaskFolder) -> Rows:
    """`CAPTIONS IMAGES`: one row per caption; `caption` counts those of a picture from 0."""
    file, folder = existing(paths[0], "caption file"), existing(paths[1], "picture folder", folder=True)
    found, seen = Rows(), dict[str, int]()
    try:
        for name, number, text in (_token if file.suffix.lower() in (".token", ".txt") else _csv)(file):
            if not text:
                found.skipped["empty caption"] += 1
                continue
            place = seen.get(name, 0) if number is None else number
            seen[name] = place + 1
            found.rows.append({"image": folder / name, "text": text, "caption": place})
    except (UnicodeDecodeError, csv.Error) as error:
        raise JobError(f"{file.name} is not a text file of captions: {error}") from error
    if not found.rows:
        raise JobError(f"{file.name} has no captions")
    require_some((row["image"].name for row in found.rows), folder, file.name)
    return found


class _Bars(csv.excel):
    """results.csv of Flickr30k: quotes are part of the captions."""

    quoting = csv.QUOTE_NONE


def _token(file: Path) -> Iterator[Caption]:
    """`1000092795.jpg#0<tab>Two young guys ...`"""
    with open(file, encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            match = TOKEN.fullmatch(line.strip("\r\n"))
            if match is None:
                raise JobError(f"{file.name}, line {number} is not 'picture.jpg#0<tab>caption'")
            yield match[1].strip(), int(match[2]), match[3].strip()


def _csv(file: Path) -> Iterator[Caption]:
    """A header that names picture and caption; separated by commas, or by | as in results.csv of Flickr30k."""
    with open(file, newline="", encoding="utf-8-sig") as lines:
        header = lines.readline()
        delimiter = max(("|", "\t", ";", ","), key=header.count)
        quoted = csv.excel if delimiter != "|" else _Bars
        names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
        image, text = (_column(names, known, file) for known in (IMAGES, TEXTS))
        for row in csv.reader(lines, quoted, delimiter=delimiter):
            if row:
                yield row[image].strip() if image < len(row) else "", None, row[text].strip() if text < len(row) else ""


def _column(names: list[str], known: Sequence[str], file: Path) -> int:
    for name in known:
        if name in names:
            return names.index(name)
    close = nearest(known[0], names, 1)
    hint = f"; rename '{close[0]}'?" if close else ""
    raise JobError(f"{file.name} has no column '{known[0]}' (or {', '.join(known[1:])}), only {', '.join(names)}{hint}")
