"""Saved views: kept and given back exactly, or refused; what a database holds leads to a page that there is."""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import parse_qs

from hypothesis import strategies as st

from dashboard.samples.saved import known_page
from dashboard.selection import params_to_state
from storage import Reviews, StoreError
from tests.reliability.fuzz import link
from tests.reliability.fuzz.dashboards import texts
from tests.reliability.fuzz.scratch import scratch
from tests.reliability.fuzz.target import Target, tried

pages = st.one_of(st.sampled_from(("samples", "suspects", "sample", "../samples", "home.py", "__init__")), texts)
params = st.one_of(
    texts,
    st.lists(st.tuples(texts, texts), max_size=6).map(lambda pairs: "&".join(f"{k}={v}" for k, v in pairs)),
    st.sampled_from(("v=1&run=%ff%fe", "f=%5B%5D&f=%00", "a" * 200_000, "f=" + "%5B" * 3000, "&" * 5000)),
)
names = st.one_of(texts, st.text(max_size=250))
cases = st.fixed_dictionaries({"name": names, "page": pages, "params": params, "reviewer": names})


@cache
def reviews() -> Reviews:
    """The reviews of this process."""
    return Reviews.open(scratch("saved_view"))


def check(case: dict[str, Any]) -> str:
    """Save, list, open, remove."""
    return tried(lambda: _saved(case), StoreError)


def _saved(case: dict[str, Any]) -> None:
    kept = reviews().save_view(**case)
    found = {view.name: view for view in reviews().views()}
    assert len(found) == 1, f"{len(found)} views of one name"
    view = found[kept.name]
    assert (view.page, view.params, view.reviewer) == (case["page"], case["params"], case["reviewer"])
    assert view.name == case["name"].strip()
    if known_page(view.page):
        assert view.page.isidentifier()
        link.valid(params_to_state(parse_qs(view.params))[0])
    reviews().remove_view(view.name, case["reviewer"])
    assert reviews().views() == []


TARGET = Target("saved_view", "saved views (storage/reviews, dashboard/samples/saved.py)", lambda: cases, check,
                share=1.0, quick=60)  # fmt: skip
