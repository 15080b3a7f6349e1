"""Links to views: whatever an address holds, it leads to a view that there is, or a line says what it could not be."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlencode

from hypothesis import strategies as st

from dashboard import colormaps
from dashboard.overlays import MODES
from dashboard.selection import MAX_FILTERS, MAX_INT, MAX_SQL, MAX_TEXT, SIZES, Selection, fit, params_to_state
from dashboard.selection import state_to_params as written
from tests.reliability.fuzz.dashboards import filter_parts, names, texts
from tests.reliability.fuzz.target import REFUSED, RIGHT, Target, clear

Pairs = list[tuple[str, str]]
RUNS = ("shapes", "shapes-2", "<b>run</b>")
TARGETS = {"predicted": ["image"], "clip-logit": ["image", "text"]}
COLUMNS = {"sample_id": "number", "score": "number", "label": "category", "uri": "text", "correct": "bool"}


def values(name: str) -> st.SearchStrategy[str]:
    """Values that a name may have, and others."""
    good: dict[str, st.SearchStrategy[str]] = {
        "run": st.sampled_from(RUNS), "target": st.sampled_from(list(TARGETS)), "mode": st.sampled_from(MODES),
        "f": filter_parts.map(_as_json), "sample": st.integers().map(str), "page": st.integers().map(str),
        "opacity": st.integers(-5, 200).map(str), "cmap": st.sampled_from(colormaps.NAMES),
    }  # fmt: skip
    return st.one_of(good.get(name, texts), texts)


def _as_json(parts: Any) -> str:
    return json.dumps(list(parts))


pairs = st.lists(names.flatmap(lambda name: st.tuples(st.just(name), values(name))), max_size=14)


def check(case: Pairs) -> str:
    """Parse, fit to a store, and write again."""
    params: dict[str, list[str]] = {}
    for name, value in case:
        params.setdefault(name, []).append(value)
    state, problems = params_to_state(params)
    valid(state)
    fitted, more = fit(state, runs=RUNS, targets=TARGETS, columns=COLUMNS)
    valid(fitted)
    assert fitted.run in RUNS and fitted.modality in TARGETS[fitted.target] and fitted.sort in COLUMNS
    assert all(item.column in COLUMNS for item in fitted.filters) and fitted.other in ("", *RUNS)
    for one in (state, fitted):
        address = urlencode(written(one), doseq=True)
        assert params_to_state(parse_qs(address, keep_blank_values=True)) == (one, []), address[:500]
    for problem in (*problems, *more):
        clear(problem)
    return REFUSED if problems or more else RIGHT


def valid(state: Selection) -> None:
    """AssertionError unless every value is one that a page can show."""
    assert 1 <= state.page <= MAX_INT and state.size in SIZES and state.modality in ("image", "text")
    assert state.sample is None or 0 <= state.sample <= MAX_INT
    assert state.look.mode in MODES and 0 <= state.look.opacity <= 100 and state.look.colormap in colormaps.NAMES
    short = (state.run, state.target, state.sort, state.suspect, state.members, state.other, state.word, state.search)
    assert all(len(text) <= MAX_TEXT for text in (*short, *state.tags, *state.only)) and len(state.sql) <= MAX_SQL
    assert "\0" not in "".join((*short, *state.tags, *state.only, state.sql))
    "".join((*short, *state.tags, *state.only, state.sql)).encode()
    assert len(state.filters) == len({item.column for item in state.filters}) <= MAX_FILTERS
    hash(state)


TARGET = Target("link", "addresses of views (dashboard/selection.py)", lambda: pairs, check, share=20.0, quick=400,
                pinned=([("f", '["a","eq","\\ud800"]')], [("only", "\0"), ("tag", "x" * 401)]))  # fmt: skip
