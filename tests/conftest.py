"""Settings for all tests, made before any library is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("golden_cases", "golden_lrp", "untouched")

# Threads that wait by spinning take the cores from the processes that tests start beside themselves.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Streamlit's AppTest puts its own ``__main__`` in place; processes spawned later would run the app."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before
