"""What a job's process is to put up with, imported before the command begins; see `circumstances`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import Any

VARIABLE = "RELEVANCY_AUDIT_TEST_TROUBLE"
CALLS_BEFORE = 5  # of the clock, until it jumps


def circumstances(
    *, seal_every: int | None = None, grace_seconds: float | None = None, disk_seconds: float = 0, clock_jump: float = 0
) -> dict[str, str]:
    """The environment of a process in which runs are sealed every so many parts and replaced parts go after so many
    seconds, every fsync and rename takes `disk_seconds`, and the clock soon jumps by `clock_jump` seconds."""
    writer = {"seal_every": seal_every, "grace_seconds": grace_seconds}
    given = {"writer": {k: v for k, v in writer.items() if v is not None}, "disk": disk_seconds, "clock": clock_jump}
    return {"PRELUDE": __name__, VARIABLE: json.dumps(given)}


def _slow(call: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    def slowly(*arguments: Any, **named: Any) -> Any:
        time.sleep(seconds)
        return call(*arguments, **named)

    return slowly


def _jumping(seconds: float) -> type[datetime]:
    """A clock that is right a few times, and then jumps."""
    asked = 0

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            nonlocal asked
            asked += 1
            return datetime.now(tz) + timedelta(seconds=seconds if asked > CALLS_BEFORE else 0)

    return Jumping


def _begin(given: dict[str, Any]) -> None:
    if given["writer"]:
        from storage import Store

        assert Store.writer.__kwdefaults__ is not None
        Store.writer.__kwdefaults__.update(given["writer"])
    if given["disk"]:
        os.fsync, os.replace = _slow(os.fsync, given["disk"]), _slow(os.replace, given["disk"])
    if given["clock"]:
        clock, right = _jumping(given["clock"]), time.time
        start = time.monotonic()
        time.time = lambda: right() + (given["clock"] if time.monotonic() > start + 0.2 else 0)
        for name, module in list(sys.modules.items()):
            if name.split(".")[0] in ("storage", "jobs", "engine") and getattr(module, "datetime", None) is datetime:
                module.datetime = clock  # type: ignore[attr-defined]


if VARIABLE in os.environ:
    _begin(json.loads(os.environ[VARIABLE]))
