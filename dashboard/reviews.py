"""The reviews of a store as the pages use them: one database per process, answers cached until somebody writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.settings import settings
from storage import Entry, Reviews


@st.cache_resource(show_spinner=False, max_entries=4)
def _opened(store: str, url: str | None) -> Reviews:
    return Reviews.open(Path(store), url)


def of(store: Path) -> Reviews:
    """The reviews that belong to a store. Shared by all sessions; safe between threads."""
    return _opened(str(store), settings().reviews)


def standing(store: Path, run: str) -> dict[str, list[Entry]]:
    """Per suspect of a run the latest verdict of each reviewer."""
    found: dict[str, list[Entry]] = {}
    for entry in _cached(store, "standing", run):
        found.setdefault(entry.suspect, []).append(entry)
    return found


def tags(store: Path, run: str) -> dict[str, int]:
    """How many samples of a run carry each tag."""
    return _cached(store, "tags", run)


def _cached(store: Path, name: str, *arguments: Any) -> Any:
    reviews = of(store)
    return _ask(str(store), str(reviews.version()), name, arguments, getattr(reviews, name))


@st.cache_data(show_spinner=False, max_entries=128)
def _ask(store: str, version: str, name: str, arguments: tuple[Any, ...], _question: Callable[..., Any]) -> Any:
    return _question(*arguments)
