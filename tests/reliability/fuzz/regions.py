"""Region features: damaged npz, HDF5 and Parquet files, arrays that lie about their size, pickles inside."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from jobs.regions import NAMES, RegionError, read_regions
from tests.reliability.fuzz.checkpoint import CALLS, Payload, executed
from tests.reliability.fuzz.mutating import damaged, few_edits, strange_values
from tests.reliability.fuzz.scratch import scratch
from tests.reliability.fuzz.target import Target, clear, tried

WIDTH = 6
FEATURES = np.arange(18, dtype=np.float32).reshape(3, WIDTH)
BOXES = np.array([[0, 0, 5, 5], [1, 1, 9, 9], [0, 3, 10, 8]], np.float32)
WHOLE = {"features": FEATURES.tolist(), "boxes": BOXES.tolist(), "width": 10, "height": 10}
SUFFIXES = {"npz": ".npz", "packed": ".npz", "hdf5": ".h5", "parquet": ".parquet", "object": ".npz", "claims": ".npz"}


def npz(packed: bool = False, **arrays: Any) -> bytes:
    """An .npz file."""
    file = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(file, **arrays)
    return file.getvalue()


def _hdf5() -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        group = content.create_group("a")
        group["features"], group["boxes"] = FEATURES, BOXES
        group.attrs["width"], group.attrs["height"] = 10, 10
    return file.getvalue()


def _parquet() -> bytes:
    table = pa.table({"image": ["a.png"], "features": [FEATURES.tolist()], "boxes": [BOXES.tolist()]})
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def _claims(shape: tuple[int, int]) -> bytes:
    """Arrays whose headers say a shape that is not there."""
    content = npz(features=FEATURES, boxes=BOXES, width=10, height=10)
    said = f"({shape[0]}, {shape[1]})"[:16].ljust(6)
    return content.replace(b"(3, 6)", said.encode()[:6] if len(said) <= 6 else said.encode())


@cache
def corpus() -> dict[str, bytes]:
    """Whole files."""
    return {"npz": npz(**WHOLE), "packed": npz(True, **WHOLE), "hdf5": _hdf5(), "parquet": _parquet()}


def _strategy() -> Any:
    broken = st.sampled_from(sorted(corpus())).flatmap(lambda kind: st.tuples(st.just(kind), few_edits))
    payloads = st.tuples(st.just("object"), st.sampled_from(CALLS))
    claims = st.tuples(st.just("claims"), st.tuples(st.integers(0, 9**12), st.integers(0, 99)))
    arrays = st.one_of(strange_values, st.just(FEATURES.tolist()), st.just(BOXES.tolist()))
    few = st.dictionaries(st.sampled_from(NAMES), arrays, max_size=2)
    values = st.tuples(st.just("values"), st.one_of(few, few.map(lambda changes: WHOLE | changes)))
    keys = st.sampled_from(("", "#a", "#0", "#1", "#-1", "#9" + "9" * 25, "#a/features", "#\0", "#../a"))
    return st.tuples(st.one_of(broken, broken, broken, payloads, claims, values), keys)


def content_of(kind: str, detail: Any) -> bytes:
    """The bytes of an input."""
    if kind == "object":
        return npz(features=np.array([Payload(detail)], object), boxes=BOXES)
    if kind == "claims":
        return _claims(detail)
    if kind == "values":
        arrays = {name: np.asarray(value if not _ragged(value) else str(value)) for name, value in detail.items()}
        return npz(**{name: a for name, a in arrays.items() if a.dtype != object} or {"a": FEATURES})
    return damaged(corpus()[kind], detail)


def _ragged(value: Any) -> bool:
    try:
        np.asarray(value)
    except (ValueError, OverflowError):
        return True
    return False


def check(case: tuple[tuple[str, Any], str]) -> str:
    """Ends in a RegionError with a short reason, or in features and boxes that fit together; nothing runs."""
    (kind, detail), key = case
    path = scratch("regions") / f"a{SUFFIXES.get(kind, '.npz')}"
    path.write_bytes(content_of(kind, detail))
    executed().unlink(missing_ok=True)
    end = tried(lambda: _whole(f"{path.name}{key}"), RegionError)
    assert not executed().exists(), "code in the file was run"
    return end


def _whole(reference: str) -> None:
    try:
        found = read_regions(scratch("regions"), reference, WIDTH, (10, 10))
    except RegionError as error:
        clear(error.reason)
        assert len(error.reason) < 300, error.reason
        raise
    assert found.features.dtype == np.float32 and found.features.shape[1] == WIDTH
    assert found.boxes.shape == (len(found.features), 4)
    assert np.isfinite(found.features).all() and ((found.boxes >= 0) & (found.boxes <= 1)).all()


TARGET = Target(
    "regions",
    "npz, HDF5 and Parquet files of region features (jobs/regions.py)",
    _strategy,
    check,
    share=9.0,
    quick=120,
    pinned=(
        (("parquet", [("insert", 0.7951956987380981, b"\xf0\x8a")]), "#1"),
        (("npz", [("word", 0.872737467288971, b"\xff\xff\xff\x7f")]), "#-1"),
    ),
)
