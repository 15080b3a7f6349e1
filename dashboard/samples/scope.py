"""Which samples a tag or an export is for: those that are ticked, or all that match."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import streamlit as st

from dashboard.data import Run
from dashboard.samples import picks
from storage import SampleQuery, queries


@dataclass(frozen=True)
class Scope:
    """Samples to do something with; ``n`` of them."""

    run: Run
    query: SampleQuery
    n: int

    def ids(self) -> npt.NDArray[np.int64]:
        """Their ids."""
        return queries.ids(self.run.reader, self.query)


def choose(run: Run, query: SampleQuery, matches: int, key: str) -> Scope:
    """The choice between both, where there is one."""
    picked = picks.of(run)
    whole = Scope(run, query, matches)
    if not picked:
        st.markdown(f"**All {matches:,}** samples that match")
        return whole
    words = {"picked": f"{len(picked):,} selected", "all": f"All {matches:,} that match"}
    wanted = st.segmented_control(
        "Samples", list(words), required=True, default="picked", format_func=words.__getitem__, key=f"scope_{key}"
    )
    if wanted == "all":
        return whole
    only = replace(query, filters=(), search="", sets=(run.reader.sets.keep(np.array(picked, dtype=np.int64)),))
    return Scope(run, only, run.count(only))
