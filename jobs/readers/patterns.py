"""Names of several files in one: `train-{000000..000009}.tar`, `{train,val}.tar`, `shards/*.tar`."""

from __future__ import annotations

import glob
import itertools
import os
import re

from jobs.errors import JobError

BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
WILD = "*?["
MOST = 100_000  # files of one pattern: more is a typing error


def is_pattern(data: str) -> bool:
    """Whether `data` names several files."""
    return any(sign in data for sign in WILD) or bool(BRACES.search(data))


def expanded(pattern: str) -> list[str]:
    """The absolute paths of a pattern's files: braces in their order, `*`, `?` and `[..]` sorted.

    Raises `JobError` when a file of a brace is missing, or nothing matches.
    """
    found: list[str] = []
    for name in braces(pattern):
        if any(sign in name for sign in WILD):
            found += sorted(glob.glob(name))
        elif os.path.isfile(name):
            found.append(name)
        else:
            raise JobError(f"--data {pattern}: there is no file {name}")
    if not found:
        raise JobError(f"--data {pattern}: no file matches")
    return [os.path.realpath(name) for name in dict.fromkeys(found)]


def braces(pattern: str) -> list[str]:
    """The names that braces stand for: `{0..2}`, with leading zeros kept, and `{a,b}`. Raises `JobError`."""
    parts = BRACES.split(pattern)
    choices = [[part] if i % 2 == 0 else _choices(part, pattern) for i, part in enumerate(parts)]
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > MOST:
        raise JobError(f"--data {pattern}: stands for {count} files, at most {MOST} are read")
    return ["".join(choice) for choice in itertools.product(*choices)]


def _choices(inner: str, pattern: str) -> list[str]:
    match = RANGE.fullmatch(inner)
    if match is None:
        return inner.split(",")
    first, last = int(match[1]), int(match[2])
    if last < first or last - first > MOST:
        raise JobError(f"--data {pattern}: {{{inner}}} must count upwards, to at most {MOST} files")
    width = len(match[1]) if len(match[1]) == len(match[2]) else 0
    return [f"{number:0{width}d}" for number in range(first, last + 1)]
