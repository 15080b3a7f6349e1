"""Makes a report, as small as it has to be, and writes it."""

from __future__ import annotations

import errno
import math
import os
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from dashboard.data import Run
from dashboard.report import page
from dashboard.report.content import Report
from dashboard.report.gather import Said, gather
from dashboard.report.markdown import markdown
from dashboard.report.options import MEGABYTE, Options, ReportError
from dashboard.report.pictures import LEVELS, Level
from dashboard.report.sheet import sheet

COLLECTING = 0.85  # share of the time that reading and painting take


@dataclass(frozen=True)
class Made:
    """A report as bytes, and what is in it.

    Attributes:
        suspects: how many.
        samples: distinct samples that are shown as cases.
        pictures: how many pictures of samples.
        interactive: whether charts can be explored.
        shrunk: what was made smaller to fit, in words; empty for nothing.
    """

    content: bytes
    run: str
    format: str
    suspects: int
    samples: int
    pictures: int
    interactive: bool
    shrunk: str

    @property
    def name(self) -> str:
        """A name for its file."""
        return f"{self.run}-report.{self.format}"


def make(run: Run, options: Options, said: Said = lambda done, what: None) -> Made:
    """The report of a run. Raises ReportError or StoreError."""
    report = gather(run, options.checked(), lambda done, what: said(done * COLLECTING, what))
    if options.format == "md":
        content = markdown(report).encode()
        return Made(content, run.id, "md", len(report.chapters), _samples(report, LEVELS[0].most), 0, False, "")
    if options.format == "csv":
        return Made(sheet(report), run.id, "csv", len(report.chapters), 0, 0, False, "")
    return _fitted(report, options, said)


def _fitted(report: Report, options: Options, said: Said) -> Made:
    """The best HTML that is small enough."""
    levels = [level for level in LEVELS if level.interactive is False or not options.static]
    content = b""
    for place, level in enumerate(levels):
        said(COLLECTING + (1 - COLLECTING) * place / len(levels), "Making it fit")
        content = page.html(report, level).encode()
        if len(content) <= options.max_bytes:
            return _made(report, level, content, options)
    raise ReportError(
        f"the smallest version of this report has {_megabytes(len(content))} MB, more than the {options.max_mb:g} MB "
        "that it may have (--max-mb): allow more, or choose fewer suspects (--top, --suspect)"
    )


def _megabytes(size: int) -> str:
    """Rounded up, so that a file of that many megabytes is allowed to exist."""
    return f"{math.ceil(size / MEGABYTE * 1000) / 1000:g}"


def _made(report: Report, level: Level, content: bytes, options: Options) -> Made:
    shown = [case for one in report.chapters for strip in one.strips for case in strip.cases[: level.most]]
    live = level.interactive and b'id="library"' in content
    said = [level.line] if report.cases and not report.of_texts else []
    if not live and not options.static and b'class="chart"' in content:
        said.append("charts cannot be explored")
    return Made(
        content,
        report.run,
        "html",
        len(report.chapters),
        _samples(report, level.most),
        sum(case.picture is not None for case in shown) if level.side else 0,
        live,
        ", ".join(line for line in said if line),
    )


def _samples(report: Report, most: int) -> int:
    return len({case.sample for one in report.chapters for strip in one.strips for case in strip.cases[:most]})


def check_place(path: Path) -> None:
    """Raises ReportError when no file can be written there; asked before the work is done."""
    if path.is_dir():
        raise ReportError(f"{path} is a folder: --out needs the name of a file")
    if not path.parent.is_dir():
        raise ReportError(f"there is no folder {path.parent}: make it, or choose another --out")
    probe = _temporary(path)
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as problem:
        raise _refused(path, problem) from None


def write(path: Path, content: bytes) -> None:
    """Write under a temporary name, then rename: there is the old file or the new one. Raises ReportError."""
    temporary = _temporary(path)
    _sweep(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as problem:
        temporary.unlink(missing_ok=True)
        raise _refused(path, problem) from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sweep(path: Path) -> None:
    """Remove what killed processes left of a report; what a living one is writing stays."""
    for left in path.parent.glob(f".{escape(path.name[:100])}.*.tmp"):
        process = left.name.split(".")[-2]
        if process.isdigit() and not _runs(int(process)):
            left.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name[:100]}.{os.getpid()}.tmp")


def _refused(path: Path, problem: OSError) -> ReportError:
    why = problem.strerror or str(problem)
    more = ": free some space" if problem.errno == errno.ENOSPC else ": choose another place with --out"
    return ReportError(f"{path} cannot be written ({why}){more}")
