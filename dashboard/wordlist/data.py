"""What the page of words asks a run, with cached answers."""

from __future__ import annotations

from typing import cast

import streamlit as st

from dashboard.data import Run
from storage import RunReader, SampleQuery
from storage.queries.words import WordTable, samples_with_word, word_table


def text_target(run: Run, chosen: str) -> str | None:
    """The chosen target if it was explained on texts, else the first that was."""
    targets = [target for target, modalities in run.targets().items() if "text" in modalities]
    return chosen if chosen in targets else next(iter(targets), None)


def table(run: Run, query: SampleQuery) -> WordTable:
    """The words of the samples of a query. Shared by all sessions and never changed, as it may be large."""
    return cast(WordTable, _table(str(run.store), run.id, run.reader.version, query, run.reader))


@st.cache_resource(show_spinner="Counting words…", max_entries=8)
def _table(store: str, run: str, version: str, query: SampleQuery, _reader: RunReader) -> WordTable:
    return word_table(_reader, query)


def found(run: Run, query: SampleQuery, word: str, page: int, size: int) -> tuple[int, list[int]]:
    """How many samples have a word, and one page of their ids."""
    return _found(str(run.store), run.id, run.reader.version, query, word, page, size, run.reader)


@st.cache_data(show_spinner=False, max_entries=128)
def _found(
    store: str, run: str, version: str, query: SampleQuery, word: str, page: int, size: int, _reader: RunReader
) -> tuple[int, list[int]]:
    return samples_with_word(_reader, query, word, page, size)
