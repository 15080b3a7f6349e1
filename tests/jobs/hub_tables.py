"""Tables of Hugging Face for tests, in the layout of the library, written with pyarrow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.jobs.shards import encoded

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}


def table(pictures: Sequence[dict[str, Any] | None], labels: Sequence[int]) -> pa.Table:
    """Columns `image` and `label`, with what the library notes about them."""
    found = pa.table({"image": pa.array(pictures, PICTURE), "label": pa.array(labels, pa.int64())})
    return found.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": FEATURES}})})


def noise(first: int, count: int) -> pa.Table:
    """Pictures of noise, as `shards.encoded` makes them, labelled cat, dog, cat, ..."""
    rows = range(first, first + count)
    return table([{"bytes": encoded(row), "path": None} for row in rows], [row % 2 for row in rows])


def write_saved(folder: Path, tables: Sequence[pa.Table], batch: int = 2) -> Path:
    """What `Dataset.save_to_disk` writes: a file per table, in batches of a few rows."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05d}-of-{len(tables):05d}.arrow" for i in range(len(tables))]
    for name, rows in zip(names, tables, strict=True):
        with pa.ipc.new_stream(folder / name, rows.schema) as stream:
            stream.write_table(rows, max_chunksize=batch)
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "0" * 16, "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))
    return folder


def write_parquet(path: Path, rows: pa.Table, group: int = 2) -> Path:
    """A file as the hub has it, in row groups of a few rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path, row_group_size=group)
    return path
