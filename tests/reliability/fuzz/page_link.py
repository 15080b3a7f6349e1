"""Whole pages opened by strange links: each draws itself, without an exception, and says what it left out."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from tests.reliability.fuzz import link
from tests.reliability.fuzz.dashboards import RUN, store
from tests.reliability.fuzz.target import REFUSED, RIGHT, Target

APP = Path(__file__).resolve().parents[3] / "dashboard" / "app.py"
PAGES = (
    "suspects",
    "evidence",
    "samples",
    "sample",
    "overview",
    "compare",
    "faithfulness",
    "report",
    "runs",
    "team",
    "words",
    "scores",
)
cases = st.tuples(st.sampled_from(PAGES), st.booleans(), link.pairs)


def check(case: tuple[str, bool, link.Pairs]) -> str:
    """Draw the page."""
    page, known, pairs = case
    before = sys.modules["__main__"]
    os.environ["RELEVANCY_AUDIT_STORE"] = str(store())
    arguments, sys.argv = sys.argv, ["app.py"]
    try:
        test = AppTest.from_file(str(APP), default_timeout=120)
        for name, value in [*pairs, *([("run", RUN)] if known else [])]:
            test.query_params[name] = [*_list(test, name), value]
        test.switch_page(f"app_pages/{page}.py")
        test.run()
    finally:
        sys.argv = arguments
        sys.modules["__main__"] = before  # AppTest puts its own in place
    problems = [f"{item.message} {item.stack_trace}"[:600] for item in test.exception]
    assert not problems, f"{page}: {problems}"
    assert all("Traceback" not in str(item.value) for item in (*test.error, *test.warning))
    assert test.title or test.error, f"{page} drew nothing"
    return REFUSED if test.warning or test.error else RIGHT


def _list(test: AppTest, name: str) -> list[str]:
    found: str | list[str] = test.query_params.get(name, [])
    return [found] if isinstance(found, str) else list(found)


TARGET = Target(
    "page_link", "whole pages opened by links (dashboard/app.py)", lambda: cases, check, share=0.04, quick=2
)
