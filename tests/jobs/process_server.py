"""Starts `python -m jobs ...` processes quickly: libraries are imported once, every command runs in a fork of this one.

One request per line on stdin: {"argv": [...], "stderr": FILE, "stdout": FILE, "file_limit": BYTES or null,
"environment": {NAME: VALUE}}. A module that the environment names as PRELUDE is imported before the command begins. The
answers are lines too: the process id when the command starts, its wait status when it has ended.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from importlib import import_module
from typing import Any

NEEDED = (
    "duckdb",
    "pandas",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "pydantic.type_adapter",
    "timm",
    "jobs.cli",
    "jobs.demo.command",
    "jobs.pipeline.stages",
    "jobs.run",
    "jobs.suspects.command",
    "jobs.suspects.material",
    "jobs.suspects.pairs.command",
)


def run(request: dict[str, Any]) -> None:
    """In the child: its own process group, as a shell gives every command, and its own output files."""
    os.setsid()
    for name, number in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request.get("file_limit"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_limit"],) * 2)
    os.environ.update(request["environment"])
    if "PRELUDE" in request["environment"]:
        import_module(request["environment"]["PRELUDE"])
    from jobs.cli import main

    code = main(request["argv"])
    sys.stdout.flush()
    os._exit(code)


def ended(pid: int) -> int:
    """Wait for a command; its wait status. Its id stays its own, so that nobody sends a signal to another process."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert found is not None
    return found.si_status << 8 if found.si_code == os.CLD_EXITED else found.si_status


def serve() -> None:
    """Import what commands need, then answer requests until stdin ends."""
    from jobs.surroundings import share_cores

    share_cores()
    for name in NEEDED:
        import_module(name)
    zombie = None
    for line in sys.stdin:
        if zombie is not None:
            os.waitpid(zombie, 0)
        pid = os.fork()
        if pid == 0:
            run(json.loads(line))
        print(pid, flush=True)
        print(ended(pid), flush=True)
        zombie = pid


if __name__ == "__main__":
    serve()
