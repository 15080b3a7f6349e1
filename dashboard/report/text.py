"""Text of the data inside HTML: escaped, cut, and isolated from the direction of the writing around it."""

from __future__ import annotations

import re
from html import escape

LONG, MEDIUM, SHORT = 2000, 300, 120  # characters of a note, of a caption, of a name
# What HTML forbids: controls, lone surrogates, and code points that are no characters
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane + end) for plane in range(0, 0x110000, 0x10000) for end in (0xFFFE, 0xFFFF))
    + "]"
)


def clean(text: object) -> str:
    """The text with U+FFFD for every character that no HTML file may hold."""
    return _FORBIDDEN.sub("\ufffd", str(text).replace("\r\n", "\n").replace("\r", "\n"))


def cut(text: object, most: int) -> tuple[str, str]:
    """The text on one line, at most `most` characters of it, and a note where it is longer; both are not escaped."""
    whole = clean(text)
    flat = " ".join(whole.split())
    if len(flat) <= most:
        return flat, ""
    return f"{flat[:most].rstrip()}…", f"cut: {len(whole):,} characters"


def said(text: object, most: int = MEDIUM) -> str:
    """The text as an element of its own: its direction and its brackets do not touch what stands around it."""
    short, note = cut(text, most)
    return f"<bdi>{escape(short)}</bdi>" + (f' <small class="cut">[{note}]</small>' if note else "")


def attribute(text: object, most: int = SHORT) -> str:
    """The text for a place between double quotes."""
    return escape(cut(text, most)[0], quote=True)


def lines(text: object, most: int = LONG) -> str:
    """A text of several lines, as paragraphs are written."""
    whole = clean(text)
    shown = whole if len(whole) <= most else f"{whole[:most].rstrip()}…"
    note = "" if len(whole) <= most else f' <small class="cut">[cut: {len(whole):,} characters]</small>'
    return f'<span class="lines" dir="auto">{escape(shown)}</span>{note}'
