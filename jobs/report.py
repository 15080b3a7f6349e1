"""`report`: one file about a run.

The dashboard's own code makes it, so that its sentences, pictures and charts are those of the pages; as jobs know
nothing of the dashboard, it runs as a process of its own, as the dashboard does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobs.errors import JobError, one_line

ROOT = Path(__file__).resolve().parent.parent


def report_arguments(
    run: str | None,
    *,
    store: str,
    out: str | None,
    format: str | None,
    suspects: Sequence[str],
    flagged: bool,
    top: int | None,
    max_mb: float,
    link_base: str,
    static: bool,
    title: str,
) -> list[str]:
    """The arguments of the process. Values are joined to their options, as they may begin with a dash."""
    words = [f"--store={store}", f"--max-mb={max_mb}", f"--link-base={link_base}", f"--title={title}"]
    words += [
        f"--{name}={value}" for name, value in (("out", out), ("format", format), ("top", top)) if value is not None
    ]
    words += [f"--suspect={name}" for name in suspects]
    words += ["--flagged"] if flagged else []
    words += ["--static"] if static else []
    return [*words, "--json", *(["--", run] if run is not None else [])]


def make_report(arguments: Sequence[str]) -> dict[str, Any]:
    """Make a report and return what is said of it. Raises JobError with the process's own line."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.run(
        [sys.executable, "-m", "dashboard.report", *arguments],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    if process.returncode == 0:
        return dict(json.loads(process.stdout))
    said = [line for line in process.stderr.splitlines() if line.strip()]
    message = said[-1] if said else f"the process that makes the report ended with {process.returncode}"
    if process.returncode != 2:
        message = f"the report could not be made ({message})"
    raise JobError(one_line(ValueError(message.removeprefix("error: ")), 600))


def _many(n: int, things: str) -> str:
    return f"{n:,} {things if n != 1 else things.removesuffix('s')}"


def report_text(document: dict[str, Any]) -> str:
    """What was made, in lines."""
    counts = ", ".join(_many(document[name], name) for name in ("suspects", "samples"))
    size = document["bytes"]
    lines = [f"{document['path']}: {f'{size / 1e6:.2f} MB' if size >= 1e5 else f'{size / 1e3:.1f} kB'}, {counts}"]
    lines += [f"  to fit: {document['shrunk']}"] if document["shrunk"] else []
    return "\n".join(lines)
