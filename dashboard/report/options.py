"""What a report shall hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

FORMATS = ("html", "md", "csv")
ENDINGS = {".html": "html", ".htm": "html", ".md": "md", ".markdown": "md", ".csv": "csv"}
LINK_BASE = "http://127.0.0.1:8501"
MAX_MB = 5.0
MEGABYTE = 1_000_000
MAX_TITLE = 300


class ReportError(Exception):
    """A report that cannot be made as asked; the message is one line for people."""


@dataclass(frozen=True)
class Options:
    """How a report is made.

    Attributes:
        suspects: ids of the suspects that it holds, in the order of the ranks; empty for all.
        flagged: only those that are probably spurious.
        top: at most so many of them; None for all.
        format: one of FORMATS.
        max_mb: most megabytes (of a million bytes) of an HTML file.
        link_base: address of the dashboard that cases link to; empty for no links.
        static: no interactive charts.
        title: the title of the report; empty for one that names the run.
    """

    suspects: tuple[str, ...] = ()
    flagged: bool = False
    top: int | None = None
    format: str = "html"
    max_mb: float = MAX_MB
    link_base: str = LINK_BASE
    static: bool = False
    title: str = ""

    @property
    def max_bytes(self) -> int:
        """Most bytes of an HTML file."""
        return int(self.max_mb * MEGABYTE)

    def checked(self) -> Options:
        """The options themselves. Raises ReportError for what cannot be."""
        if self.format not in FORMATS:
            raise ReportError(f"--format {self.format}: it may be {', '.join(FORMATS)}")
        if not 0 < self.max_mb <= 1000:
            raise ReportError(f"--max-mb {self.max_mb:g}: must be above 0 and at most 1000")
        if self.top is not None and self.top < 1:
            raise ReportError(f"--top {self.top}: must be at least 1")
        if len(self.title) > MAX_TITLE:
            raise ReportError(f"--title has {len(self.title):,} characters; it may have {MAX_TITLE}")
        if self.link_base and not _is_address(self.link_base):
            raise ReportError(f"--link-base {self.link_base[:80]}: must be an address such as {LINK_BASE}")
        return self


def size_text(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / MEGABYTE:.2f} MB" if size >= 100_000 else f"{size / 1000:.1f} kB"


def many(n: int, things: str) -> str:
    """`1 suspect`, `2 suspects`."""
    return f"{n:,} {things if n != 1 else things.removesuffix('s')}"


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    plain = text.isprintable() and not any(c in text for c in " <>\"'`\\")
    return parts.scheme in ("http", "https") and bool(parts.netloc) and not parts.query and not parts.fragment and plain


def format_of(out: Path | None, given: str | None) -> str:
    """The format that was asked for, or that of the ending of a file. ReportError when they contradict each other."""
    ending = ENDINGS.get(out.suffix.lower()) if out is not None else None
    if given is None:
        if out is not None and out.suffix and ending is None:
            raise ReportError(f"--out {out}: the ending may be {', '.join(ENDINGS)}; or say --format")
        return ending or "html"
    if given not in FORMATS:
        raise ReportError(f"--format {given}: it may be {', '.join(FORMATS)}")
    if ending is not None and ending != given:
        raise ReportError(f"--format {given} and --out {out} contradict each other: leave one out")
    return given
