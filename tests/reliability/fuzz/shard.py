"""Tars and saved datasets of Hugging Face: damaged archives, tables and descriptions."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from jobs.errors import JobError
from jobs.pictures import PictureError, measure
from jobs.readers import Dataset, read_dataset
from jobs.readers.dataset import ROLES
from tests.jobs.hub_tables import noise, write_parquet, write_saved
from tests.jobs.shards import encoded
from tests.reliability.fuzz.mutating import STRANGE_TEXTS, damaged, few_edits, json_edits, rewritten
from tests.reliability.fuzz.scratch import scratch
from tests.reliability.fuzz.target import Target, clear, tried

TINY = (3, 4)
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
SAVED = ("data-00000-of-00001.arrow", "state.json", "dataset_info.json")


def tar(members: list[tuple[str, bytes]], kind: str = "pax") -> bytes:
    """An uncompressed tar."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=FORMATS[kind]) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


@cache
def corpus() -> dict[str, Any]:
    """Whole archives and tables."""
    picture = encoded(1, TINY)
    members = [("0.png", picture), ("0.cls", b"cat"), ("0.txt", b"A cat"), ("0.json", b'{"boxes": [[0, 0, 1, 1]]}'),
               ("b/1.png", picture), ("b/1.mask.png", picture), ("x" * 150 + ".png", picture)]  # fmt: skip
    root = scratch("shard_whole")
    write_saved(root / "saved", [noise(0, 3)])
    write_parquet(root / "a.parquet", noise(0, 3))
    return {
        **{kind: tar(members if kind != "ustar" else members[:-1], kind) for kind in FORMATS},
        "parquet": (root / "a.parquet").read_bytes(),
        **{name: (root / "saved" / name).read_bytes() for name in SAVED},
    }


names = st.one_of(
    st.sampled_from(("0.png", "0.cls", "0.txt", "0.json", "0.mask.png", "../0.png", "/0.png", "a/../../0.png", ".0.x")),
    st.sampled_from([text for text in STRANGE_TEXTS if text and "\0" not in text]).map(lambda text: f"{text}.png"),
)  # fmt: skip
sides = st.one_of(
    st.just(b"cat"), st.binary(max_size=20), st.sampled_from((b'{"boxes": 1}', b"[1]", b'{"a": {}}', b"\xff"))
)


def _strategy() -> Any:
    broken = st.tuples(st.sampled_from([*FORMATS, "parquet", SAVED[0]]), few_edits)
    made = st.tuples(st.just("made"), st.lists(st.tuples(names, sides), max_size=6))
    described = st.tuples(st.sampled_from(SAVED[1:]), json_edits)
    return st.one_of(broken, broken, made, described)


def check(case: tuple[str, Any]) -> str:
    """Ends in a JobError, or in samples whose pictures can be measured or are refused one by one."""
    data = _written(*case)
    return tried(lambda: _read(data), JobError)


def _written(kind: str, detail: Any) -> Path:
    root = scratch("shard")
    if kind in SAVED:
        shutil.rmtree(root / "saved", ignore_errors=True)
        (root / "saved").mkdir()
        for name in SAVED:
            (root / "saved" / name).write_bytes(corpus()[name])
        whole = corpus()[kind]
        changed = (
            damaged(whole, detail) if kind == SAVED[0] else json.dumps(rewritten(json.loads(whole), detail)).encode()
        )
        (root / "saved" / kind).write_bytes(changed)
        return root / "saved"
    path = root / ("a.parquet" if kind == "parquet" else "a.tar")
    path.unlink(missing_ok=True)
    path.write_bytes(tar(detail, "pax") if kind == "made" else damaged(corpus()[kind], detail))
    return path


def _read(data: Path) -> None:
    dataset: Dataset = read_dataset(data)
    assert len(dataset) > 0
    for role in (*ROLES, "pictures"):
        column = getattr(dataset, role)
        assert column is None or (len(column) == len(dataset) and column.type == pa.string()), role
        if column is not None:
            column.validate(full=True)
    assert all(len(column) == len(dataset) for column in dataset.metadata.values())
    for row in range(min(len(dataset), 8)):
        name = dataset.picture(row)
        if name is None:
            continue
        try:
            measure(dataset.at(name))
        except PictureError as error:
            clear(error.reason)


TARGET = Target(
    "shard",
    "tars, Arrow and Parquet files with pictures in them (jobs/readers/shards.py, hub.py)",
    _strategy,
    check,
    share=12.0,
    quick=120,
    pinned=(
        (
            "parquet",
            [
                ("set", 0.9285168647766113, 95),
                ("set", 0.9804956912994385, 122),
                ("insert", 0.0, b"\x05;3"),
                ("word", 0.3026074171066284, b"\x00\x00\x00\x80"),
                ("drop", 0.8140593767166138, 28),
                ("drop", 0.8774822950363159, 48),
            ],
        ),
    ),
)
