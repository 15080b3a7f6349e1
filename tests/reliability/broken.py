"""A target of the fuzzer that goes wrong in every way that an input can end a process."""

from __future__ import annotations

import os
import signal
import time

from hypothesis import strategies as st

from tests.reliability.fuzz.target import RIGHT, Target


def check(case: str) -> str:
    """Die, hang, or ask for all memory."""
    if case == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif case == "hang":
        time.sleep(600)
    else:
        bytearray(1 << 40)
    return RIGHT


def target_of(case: str) -> Target:
    """A target whose only input is `case`."""
    return Target(case, "what goes wrong", lambda: st.just(case), check)


DIES, HANGS, EATS = (target_of(case) for case in ("die", "hang", "eat"))
