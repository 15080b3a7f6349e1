"""``python -m dashboard.report [RUN] --store DIR``: make a report without a server.

Exit codes: 0 done; 2 wrong use or input, with one line on stderr. ``python -m jobs report`` starts this.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn


class _Parser(ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        _fail(message)


def arguments() -> ArgumentParser:
    """The options."""
    given = _Parser(prog="python -m dashboard.report", description="Make the report of a run.", allow_abbrev=False)
    given.add_argument("run", nargs="?", help="default: the newest run")
    given.add_argument("--store", default="audits", help="folder or URL of the store")
    given.add_argument("--out", help="the file; default: RUN-report.html in the working directory")
    given.add_argument("--format", help="html, md or csv; default: from the ending of --out, else html")
    given.add_argument("--suspect", action="append", default=[], help="id of a suspect; may be repeated; default: all")
    given.add_argument("--flagged", action="store_true", help="only suspects that are probably spurious")
    given.add_argument("--top", type=int, help="at most so many suspects")
    given.add_argument("--max-mb", type=float, default=5.0, help="most megabytes of an HTML file")
    given.add_argument(
        "--link-base", default="http://127.0.0.1:8501", help="the dashboard that cases link to; '' for none"
    )
    given.add_argument("--static", action="store_true", help="no charts that can be explored")
    given.add_argument("--title", default="")
    given.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    return given


def main(argv: Sequence[str] | None = None) -> int:
    """Make one report and return the exit code."""
    given = arguments().parse_args(argv)
    sys.argv = sys.argv[:1]  # the settings of the dashboard are read from there, and these are not its options
    from streamlit.logger import set_log_level

    set_log_level("error")  # without a server Streamlit warns of every cache
    from dashboard.data import close_readers
    from dashboard.report.options import ReportError
    from storage import StoreError

    try:
        document = _report(given)
    except (ReportError, StoreError) as problem:
        _fail(str(problem))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted, nothing was written\n")
        return 130
    finally:
        close_readers()
    text = json.dumps(document, indent=2, ensure_ascii=False) if given.json else _line(document)
    sys.stdout.write(f"{text}\n")
    return 0


def _report(given: Namespace) -> dict[str, Any]:
    """Make and write it."""
    from dashboard.data import Run
    from dashboard.report.make import check_place, make, write
    from dashboard.report.options import Options, ReportError, format_of
    from storage import Store

    asked = Path(given.out).expanduser() if given.out else None
    options = Options(
        suspects=tuple(given.suspect),
        flagged=given.flagged,
        top=given.top,
        format=format_of(asked, given.format),
        max_mb=given.max_mb,
        link_base=given.link_base,
        static=given.static,
        title=given.title,
    ).checked()
    store = Store.open(given.store)  # of a URL, brought here now
    name = given.run or next(iter(store.run_ids()), None)
    if name is None:
        raise ReportError(
            f"no runs in {given.store} yet: python -m jobs run --data DIR --model NAME --store {given.store}"
        )
    run = Run.open(store.root, name)
    out = asked or Path(f"{run.id}-report.{options.format}")
    check_place(out)
    made = make(run, options)
    write(out, made.content)
    return {
        "run": made.run,
        "path": str(out.absolute()),
        "format": made.format,
        "bytes": len(made.content),
        "suspects": made.suspects,
        "samples": made.samples,
        "pictures": made.pictures,
        "interactive": made.interactive,
        "shrunk": made.shrunk,
    }


def _line(document: dict[str, Any]) -> str:
    from dashboard.report.options import many, size_text

    shrunk = f"; {document['shrunk']}" if document["shrunk"] else ""
    return (
        f"{document['path']}: {size_text(document['bytes'])}, {many(document['suspects'], 'suspects')}, "
        f"{many(document['samples'], 'samples')}{shrunk}"
    )


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    raise SystemExit(2)


if __name__ == "__main__":
    sys.exit(main())
