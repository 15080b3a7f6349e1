"""What restricts the samples besides filters: the members of a suspect, tags, and a query of the user's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import reviews
from dashboard.data import Row, Run
from dashboard.selection import Selection, clip
from storage import RunReader, SampleQuery, StoreError, queries


def narrowed(run: Run, chosen: Selection) -> tuple[SampleQuery, list[str]]:
    """The query of a selection with everything that restricts it, and a line for each part that had to be left out."""
    problems: list[str] = []
    sets = []
    for ids, problem in (_members(run, chosen), _tagged(run, chosen), _found_by_sql(run, chosen)):
        if problem:
            problems.append(problem)
        if ids is not None:
            sets.append(run.reader.sets.keep(ids))
    return replace(chosen.query, sets=tuple(sets)), problems


Found = tuple[NDArray[np.int64] | None, str]


def _members(run: Run, chosen: Selection) -> Found:
    """The samples that show the cue of a suspect."""
    if not chosen.members:
        return None, ""
    row = suspect(run, chosen.members)
    if row is None:
        return None, f"This run has no suspect “{clip(chosen.members)}” (any more); all samples are shown."
    return np.asarray(row["sample_ids"], dtype=np.int64), ""


def _tagged(run: Run, chosen: Selection) -> Found:
    """The samples with any of the tags."""
    if not chosen.tags:
        return None, ""
    try:
        found = [reviews.of(run.store).tagged(run.id, tag) for tag in chosen.tags]
    except StoreError as problem:
        return None, f"{problem}; the tags were left out."
    return np.unique(np.concatenate(found)), ""


def _found_by_sql(run: Run, chosen: Selection) -> Found:
    """The samples that the user's own query gives."""
    if not chosen.sql:
        return None, ""
    try:
        return _sql_ids(str(run.store), run.id, run.reader.version, chosen.sql, run.reader), ""
    except StoreError as problem:
        return None, f"{problem}; the query was left out."


@st.cache_resource(show_spinner=False, max_entries=16)  # not copied at each use, as data would be; nobody writes to it
def _sql_ids(store: str, run: str, version: str, sql: str, _reader: RunReader) -> NDArray[np.int64]:
    return queries.sql_ids(_reader, sql)


def suspect(run: Run, name: str) -> Row | None:
    """A suspect of the run by its id."""
    return next((row for row in run.suspects().rows if row["id"] == name), None)
