"""What the targets of the dashboard share: a small real store per process, and texts that people should not type."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from dashboard.overlays import MODES
from dashboard.selection import NAMES, OPS
from storage import RunReader, Store
from tests.dashboard import samples_store
from tests.dashboard.make_store import HOSTILE
from tests.reliability.fuzz.mutating import STRANGE_TEXTS
from tests.reliability.fuzz.scratch import scratch

RUN, N = samples_store.RUN, samples_store.N
LOOKALIKES = (
    "ring", "predicted", "label", "image", "text", "sample_id", "uri", "entropy", "camera", "correct", "overlay",
    "viridis", "asc", "desc", "concept-1", "shapes-features", "0", "1", "24", "48", "100", "9999999999999999999", "-1",
    "1e9", "０", "²", "%", "_", "%00", "\\", "`", "$$", "{{x}}", "true", "null", "[]", "kind:concept", "a:b:c",
    "\u202e", "a\u0301" * 50, "9" * 400,
)  # fmt: skip
anything = st.text(st.characters(exclude_categories=()), max_size=40)  # lone surrogates too
texts = st.one_of(
    st.sampled_from(LOOKALIKES), st.sampled_from(HOSTILE), st.sampled_from(STRANGE_TEXTS), anything,
    st.sampled_from(STRANGE_TEXTS).map(lambda text: (text or "x") * 40),
)  # fmt: skip
scalars = st.one_of(texts, st.integers(), st.floats(), st.booleans(), st.none())
filter_parts = st.tuples(
    st.one_of(st.sampled_from(("label", "score", "correct", "camera", "sample_id", "tokens", "year", "uri")), scalars),
    st.one_of(st.sampled_from(OPS), scalars),
    st.one_of(scalars, st.lists(scalars, max_size=6), st.tuples(st.floats(), st.floats()).map(list)),
)
names = st.one_of(st.sampled_from(sorted(NAMES)), st.sampled_from(("", "view", "embed", "a[]", "f[0]", "\0")), anything)
modes = st.sampled_from(MODES)


@cache
def store() -> Path:
    """The store of this process; its run has features, hostile texts, a suspect, and a picture that was lost."""
    return samples_store.write(scratch("dashboard"))


@cache
def reader() -> RunReader:
    """A reader of the run."""
    return Store.open(store()).reader(RUN)
