"""Settings for all tests, made before any library is imported."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from tests import alone

pytest.register_assert_rewrite("golden_cases", "golden_lrp", "untouched")

# Tiny models are slower on many threads, and other tests and the processes that tests start run beside them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Threads that wait by spinning take the cores from the processes that tests start beside themselves.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# The same instructions on every machine: with others, sums are made in another order, and float32 results move. Some
# of the authors' float32 numbers are themselves 2e-3 from their float64 ones; which side of that a machine's rounding
# falls on would be chance (LXMERT's attn_gradcam: 3e-4 so, 1.1e-3 to 2.4e-3 with other instructions).
os.environ.setdefault("MKL_CBWR", "AVX2")
os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX")


TESTS_AS_LONG_AS = {"slow": 20, "browser": 5}  # as so many others


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # set by pytest-xdist in the processes it starts
        alone.make_locks()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        alone.remove_locks()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Side by side, the longest files go first: the short ones fill what is left, and no process waits for another.

    Files with a test that wants to be alone come last, when nobody else has much left to do.
    """
    if hasattr(config, "workerinput"):
        lengths: Counter[str] = Counter()
        for item in items:
            lengths[str(item.path)] += max(n if item.get_closest_marker(m) else 1 for m, n in TESTS_AS_LONG_AS.items())
        last = {str(item.path) for item in items if item.get_closest_marker("alone")}
        items.sort(key=lambda item: (str(item.path) in last, -lengths[str(item.path)], str(item.path)))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """From the first fixture of a test to its last."""
    with alone.room(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Streamlit's AppTest puts its own ``__main__`` in place; processes spawned later would run the app."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before
