"""What the page of CLIP scores asks a run of pairs, with cached answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from dashboard.data import Run
from storage import RunReader, SampleQuery
from storage.queries import pairs

QUERIES: dict[str, Callable[..., Any]] = {
    name: getattr(pairs, name) for name in ("score_numbers", "tenth_words", "tenth_maps", "falls")
}


def score_target(run: Run, chosen: str) -> str | None:
    """The target whose score the page is about: the chosen one, unless that is a single word or no score of pairs."""
    targets = [target for target in run.targets() if target.startswith("clip-")]
    return chosen if chosen in targets else next(iter(targets), None)


def ask(run: Run, name: str, query: SampleQuery) -> Any:
    """The answer of one of the functions of `storage.queries.pairs`."""
    return _ask(str(run.store), run.id, run.reader.version, name, replace(query, sort="sample_id"), run.reader)


@st.cache_data(show_spinner=False, max_entries=128)
def _ask(store: str, run: str, version: str, name: str, query: SampleQuery, _reader: RunReader) -> Any:
    return QUERIES[name](_reader, query)
