"""Names, types and the table of a part."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from storage import StoreError, metadata_column_names, part_schema, parts_table
from storage.columns import EXPLANATION_COLUMNS, SAMPLE_COLUMNS
from storage.schema import RESERVED, padded_width
from tests.storage import audit

ONE = {"sample_id": 1, "uri": "a.jpg", "target": "predicted", "modality": "image", "score": 1.0, "map": [1.0, 2.0]}


def test_metadata_names_are_plain_unique_and_never_reserved() -> None:
    names = ["Shot at (UTC)", "label", "Map", "2nd", "ä ö", "iso", "ISO", "Iso!", "", "shot_at_utc", "meta_label"]
    columns = metadata_column_names(names)
    assert columns[:4] == ["shot_at_utc", "meta_label", "meta_map", "meta_2nd"]
    assert columns[4] == "a_o"
    assert columns[5:8] == ["iso", "iso_2", "iso_3"]
    assert len(set(columns)) == len(names)
    assert not set(columns) & RESERVED
    part_schema([{"name": n, "column": c, "type": "string"} for n, c in zip(names, columns, strict=True)])


def test_schema_has_every_column_once_with_metadata_types() -> None:
    schema = part_schema(audit.METADATA)
    assert len(set(schema.names)) == len(schema.names)
    assert {c.name for c in (*SAMPLE_COLUMNS, *EXPLANATION_COLUMNS)} <= set(schema.names)
    assert schema.field("iso").type == pa.int64()
    assert schema.field("flash").type == pa.bool_()
    assert schema.field("map").type == pa.list_(pa.float32())
    assert not schema.field("uri").nullable


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"name": "x", "column": "label", "type": "string"}, "meta_label"),
        ({"name": "x", "column": "map", "type": "string"}, "column of the store"),
        ({"name": "x", "column": "sample_first", "type": "string"}, "column of the store"),
        ({"name": "x", "column": "a b", "type": "string"}, "plain name"),
        ({"name": "x", "column": 'a"; DROP', "type": "string"}, "plain name"),
        ({"name": "x", "column": "iso", "type": "int46"}, "did you mean 'int64'"),
        ({"name": "x", "column": "iso"}, "lacks type"),
    ],
)
def test_bad_metadata_is_named(entry: dict, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        part_schema([entry])


def test_metadata_column_twice() -> None:
    with pytest.raises(StoreError, match="'iso' is named twice"):
        part_schema([audit.METADATA[1], audit.METADATA[1]])


def test_parts_table_marks_one_row_per_sample() -> None:
    rows = [{**ONE, "sample_id": i, "target": t} for i in (4, 9) for t in ("label", "predicted")]
    table = parts_table(rows, [])
    assert table.schema.equals(part_schema([]))
    assert table["sample_first"].to_pylist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scroe": 1.0}, "no column 'scroe'; did you mean 'score'"),
        ({"score": "high"}, "'score' of sample 1 holds 'high', which is no FLOAT"),
        ({"map": ["a"]}, "'map' of sample 1 holds"),
        ({"width": 2**40}, "'width' of sample 1"),
        ({"map": None}, "'map' of sample 1 is empty"),
        ({"uri": None}, "'uri' of sample 1 is empty"),
    ],
)
def test_parts_table_names_the_bad_value(change: dict, said: str) -> None:
    good = {**ONE, "sample_id": 0}
    with pytest.raises(StoreError, match=said):
        parts_table([good, {**ONE, **change}], [])


def test_parts_table_takes_numpy_vectors_and_no_rows() -> None:
    vector = np.arange(5, dtype=np.float32)
    assert parts_table([{**ONE, "map": vector}], [])["map"].to_pylist() == [vector.tolist()]
    assert parts_table([], audit.METADATA).num_rows == 0


def test_padded_width() -> None:
    assert [padded_width(n) for n in (0, 1, 16, 17, 32, 77)] == [16, 16, 16, 32, 32, 80]
