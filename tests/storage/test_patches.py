"""Patches: from a part to a view and a sealed segment, without a value lost or moved."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from storage import RunReader, Store, StoreError, metadata_column_names, parts_table
from storage.parts import encode
from tests.storage import audit

IDS = audit.explained_ids(0, 1, 2, 3)
TABLE = f"patches_{audit.PATCH_WIDTH}"


def expected(sample_id: int, target: str) -> list[tuple[int, int | None, list[float]]]:
    """Rows (slot, token, vec) of one explanation, the rest first."""
    tokens, states = audit.patches(sample_id, target)
    rows = [(slot, int(token), states[slot].tolist()) for slot, token in enumerate(tokens)]
    return [(-1, None, states[-1].tolist()), *rows]


def test_every_patch_is_a_row_and_the_rest_is_one(reader: RunReader) -> None:
    assert reader.patch_widths == (audit.PATCH_WIDTH,)
    rows = reader.query(f"FROM {TABLE} ORDER BY sample_id, target, slot")
    found: dict[tuple[int, str], list[tuple[int, int | None, list[float]]]] = {}
    for row in rows:
        key = row["sample_id"], row["target"]
        found.setdefault(key, []).append((row["slot"], row["token"], list(row["vec"])))
    assert found == {(i, target): expected(i, target) for i in IDS for target in ("predicted", "label")}


def test_one_sample_of_many(reader: RunReader) -> None:
    found = reader.query(
        f"SELECT slot, token, vec FROM {TABLE} WHERE sample_id = 21 AND target = 'label' ORDER BY slot"
    )
    assert [(row["slot"], row["token"], list(row["vec"])) for row in found] == expected(21, "label")
    assert str(reader.table(f"SELECT vec FROM {TABLE}").schema.field("vec").type) == "fixed_size_list<: float>[24]"


def test_a_segment_is_sorted(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 2, 0, 1)
        writer.seal()
    with duckdb.connect(str(writer.run.segment(0)), read_only=True) as segment:
        keys = segment.execute(f"SELECT sample_id, target, slot FROM {TABLE}").fetchall()
        assert keys == sorted(keys) and len(keys) > 100


@pytest.mark.parametrize("sealed", [0, 1, 2])
def test_widths_may_differ_and_parts_may_have_none(store: Store, sealed: int) -> None:
    """Also the rest alone, of a picture without any shown token."""
    with store.writer("run", audit.record()) as writer:
        for part, width in enumerate((4, None, 6)):
            row = audit.rows(part, targets=("predicted",), modalities=("image",))[0]
            tokens = [7, 5][: 2 - part]
            states = None if width is None else np.arange((len(tokens) + 1) * width, dtype=np.float32)
            row |= {"patch_tokens": None if width is None else tokens, "patch_states": states}
            writer.commit_part(part, parts_table([row], audit.METADATA))
            if sealed > part:
                writer.seal()
    with store.reader("run") as reader:
        assert reader.patch_widths == (4, 6)
        first = reader.query("SELECT sample_id, slot, token, vec FROM patches_4 ORDER BY slot")
        assert [(row["slot"], row["token"], row["vec"][0]) for row in first] == [(-1, None, 8), (0, 7, 0), (1, 5, 4)]
        assert [(r["slot"], r["token"], r["vec"][5]) for r in reader.query("FROM patches_6")] == [(-1, None, 5)]


def test_a_run_without_patches_has_no_table(store: Store) -> None:
    rows = [{**row, "patch_tokens": None, "patch_states": None} for row in audit.rows(0)]
    with store.writer("run", audit.record()) as writer:
        writer.commit_part(0, parts_table(rows, audit.METADATA))
        writer.seal()
    with store.reader("run") as reader, pytest.raises(duckdb.CatalogException):
        assert reader.patch_widths == ()
        reader.query(f"FROM {TABLE}")


@pytest.mark.parametrize(("tokens", "values"), [([1, 2], 10), ([1], 0), (None, 0), ([], 0)])
def test_states_must_fit_their_tokens(store: Store, tokens: list[int] | None, values: int) -> None:
    row = {**audit.rows(0)[0], "patch_tokens": tokens, "patch_states": np.zeros(values, np.float32)}
    with store.writer("run", audit.record()) as writer:
        if not tokens:  # nothing is stored
            writer.commit_part(0, parts_table([row], audit.METADATA))
            return
        with pytest.raises(StoreError, match=f"sample 0 has {values} values in patch_states for {len(tokens)} patches"):
            writer.commit_part(0, parts_table([row], audit.METADATA))
        assert writer.committed == set()


def test_wide_rows_lie_in_small_row_groups(tmp_path: Path) -> None:
    wide = {"patch_tokens": np.arange(31), "patch_states": np.zeros(32 * 1024, np.float32)}
    for extra, groups in (({}, 1), (wide, 2)):
        rows = [{**audit.rows(i)[0], "patch_tokens": None, "patch_states": None, **extra} for i in range(100)]
        (tmp_path / "x.parquet").write_bytes(encode(parts_table(rows, audit.METADATA)))
        assert pq.ParquetFile(tmp_path / "x.parquet").num_row_groups == groups


def test_metadata_of_that_name_is_renamed() -> None:
    assert metadata_column_names(["Patch tokens", "patch states", "slot"]) == [
        "meta_patch_tokens", "meta_patch_states", "slot"
    ]  # fmt: skip
