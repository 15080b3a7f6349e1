"""Damage to bytes, texts and JSON: what a disk, a broken program or a prankster does to a file."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

Edit = tuple[str, float, Any]
# numbers that lengths and offsets of file formats do not expect
WORDS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x01\0\0\0")
STRANGE_TEXTS = (
    *("", " ", "\0", "\n", "a\r\nb", "../../../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "~root/x", "%00"),
    *("http://", "ftp://127.0.0.1:9/y", "s3://bucket/key", "://", "http://[::1", "C:\\x.png", "\\\\host\\share"),
    *("<script>alert(1)</script>", "'; DROP TABLE samples; --", '"', "{}", "[1, 2", "#", "x#-1", "x#9" + "9" * 19),
    *("\u202egnp.exe", "\ufeff", "日本語.png", "é" * 300, "a/" * 600, "x" * 5000, "\x1b[31mred", "nan", "1e999", "-0"),
)  # fmt: skip
STRANGE_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, -(2**63), 2**64, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *([], {}, [None], [[]], {"": None}, [1, "a", None], {"a": {"b": [1]}}, ["x"] * 200),
    *STRANGE_TEXTS,
)  # fmt: skip

positions = st.floats(0, 1, exclude_max=True, width=32)
edits = st.one_of(
    st.tuples(st.just("flip"), positions, st.integers(0, 7)),
    st.tuples(st.just("set"), positions, st.integers(0, 255)),
    st.tuples(st.just("word"), positions, st.sampled_from(WORDS)),
    st.tuples(st.just("cut"), positions, st.none()),
    st.tuples(st.just("drop"), positions, st.integers(1, 64)),
    st.tuples(st.just("insert"), positions, st.binary(min_size=1, max_size=16)),
    st.tuples(st.just("repeat"), positions, st.integers(1, 64)),
    st.tuples(st.just("zero"), positions, st.integers(1, 512)),
)
few_edits = st.lists(edits, min_size=1, max_size=6)
"""Edits for `damaged`, most of them at one place of the file."""


def damaged(content: bytes, changes: Sequence[Edit]) -> bytes:
    """`content` after all `changes`; positions are fractions of its length."""
    data = bytearray(content)
    for kind, position, value in changes:
        at = int(position * len(data))
        if kind == "flip" and data:
            data[at] ^= 1 << value
        elif kind == "set" and data:
            data[at] = value
        elif kind == "word":
            data[at : at + len(value)] = value
        elif kind == "cut":
            del data[at:]
        elif kind == "drop":
            del data[at : at + value]
        elif kind == "insert":
            data[at:at] = value
        elif kind == "repeat":
            data[at:at] = data[at : at + value]
        elif kind == "zero":
            data[at : at + value] = bytes(len(data[at : at + value]))
    return bytes(data)


strange_values = st.one_of(
    st.sampled_from(STRANGE_VALUES), st.integers(), st.floats(), st.text(max_size=20), st.booleans(), st.none()
)
json_edits = st.lists(
    st.tuples(st.sampled_from(("replace", "delete", "add", "rename", "double")), positions, strange_values),
    min_size=1,
    max_size=4,
)
"""Edits for `rewritten`."""


def rewritten(document: Any, changes: Sequence[Edit]) -> Any:
    """A copy of a JSON document with values replaced, removed, added, renamed or doubled somewhere."""
    document = copy.deepcopy(document)
    for kind, position, value in changes:
        places = list(_places(document))
        holder, key = places[int(position * len(places))] if places else (None, None)
        if holder is None or key is None:
            document = copy.deepcopy(value) if kind == "replace" else document
        elif kind == "replace":
            holder[key] = copy.deepcopy(value)
        elif kind == "delete":
            del holder[key]
        elif kind == "double" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif kind == "add" and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(value))
        elif isinstance(holder, dict):  # added, renamed
            taken = holder[key] if kind == "add" else holder.pop(key)
            holder[str(value)[:300]] = taken
    return document


def _places(node: Any) -> Any:
    """Every (holder, key) of a document, and (None, None) for the whole."""
    yield None, None
    stack = [node] if isinstance(node, dict | list) else []
    while stack:
        holder = stack.pop()
        keys: Sequence[Any] = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            yield holder, key
            if isinstance(holder[key], dict | list):
                stack.append(holder[key])
