"""Maps over regions, over grids of many sizes, and detections."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

from storage import RunReader, Store, parts_table, queries
from storage.document import DOCUMENT
from tests.storage import audit

GRIDS = [(2, 3), (3, 3), (4, 5), (5, 7), (2, 2), (3, 2), (8, 8)]
RECORD = {**audit.record(), "dataset": {**audit.record()["dataset"], "metadata": []}}


def region_row(sample_id: int, count: int) -> dict:
    return {
        "sample_id": sample_id,
        "uri": f"{sample_id}.jpg",
        "regions": np.linspace(0, 1, 4 * count, dtype=np.float32),
        "target": "answer",
        "modality": "image",
        "score": 1.0,
        "predicted": "yes",
        "zero_rows": sample_id,
        "map": np.arange(count, dtype=np.float32) + sample_id,
    }


def detection_rows(sample_id: int, grid: tuple[int, int], found: int) -> list[dict]:
    cells = np.full(grid[0] * grid[1], sample_id, np.float32)
    shared = {"sample_id": sample_id, "uri": f"{sample_id}.jpg", "grid_h": grid[0], "grid_w": grid[1], "score": 1.0}
    return [
        {
            **shared,
            "target": f"detection:{k}",
            "modality": "image",
            "query": 10 + k,
            "box": [0, 0, 0.5, 1],
            "map": cells,
        }
        for k in range(1, found + 1)
    ]


@pytest.fixture(params=["tail", "sealed"])
def reader(store: Store, request: pytest.FixtureRequest) -> Iterator[RunReader]:
    with store.writer("run", RECORD) as writer:
        regions = [region_row(i, 3 + i) for i in range(3)]
        detections = [row for i, grid in enumerate(GRIDS, 3) for row in detection_rows(i, grid, 1 + i % 2)]
        writer.commit_part(0, parts_table([*regions, *detections], []))
        if request.param == "sealed":
            writer.seal()
    with store.reader("run") as opened:
        yield opened


def test_regions_come_back_with_their_boxes(reader: RunReader) -> None:
    rows = reader.query("SELECT sample_id, regions FROM samples WHERE regions IS NOT NULL ORDER BY sample_id")
    assert [len(row["regions"]) for row in rows] == [12, 16, 20]
    maps = reader.maps([(i, "answer") for i in range(3)], "image")
    assert [maps[i, "answer"].tolist() for i in range(3)] == [[0, 1, 2], [1, 2, 3, 4], [2, 3, 4, 5, 6]]
    assert [row["zero_rows"] for row in reader.query("SELECT zero_rows FROM explanations ORDER BY ALL LIMIT 3")] == [
        0, 1, 2
    ]  # fmt: skip


def test_grids_of_many_sizes(reader: RunReader) -> None:
    keys = [(i, "detection:1") for i in range(3, 3 + len(GRIDS))]
    maps = reader.maps([*keys, (99, "detection:1")], "image")
    assert {key: len(value) for key, value in maps.items()} == {
        key: h * w for key, (h, w) in zip(keys, GRIDS, strict=True)
    }
    assert all((values == sample_id).all() for (sample_id, _), values in maps.items())
    detected = reader.query("SELECT query, box FROM explanations WHERE target = 'detection:2'")
    assert detected == [{"query": 12, "box": [0.0, 0.0, 0.5, 1.0]}] * 4


def test_documented_examples_run_as_printed(reader: RunReader) -> None:
    examples = re.findall(r"```sql regions\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    seen, strongest, zeros = (reader.query(example.strip().rstrip(";")) for example in examples)
    assert [(row["predicted"], row["n"]) for row in seen] == [(None, 11)]
    assert sorted((row["uri"], row["relevancy"]) for row in strongest) == [("0.jpg", 2), ("1.jpg", 4), ("2.jpg", 6)]
    for row in strongest:
        count = 3 + int(row["uri"][0])
        assert row["box"] == pytest.approx(np.linspace(0, 1, 4 * count, dtype=np.float32)[-4:].tolist())
    assert zeros == [{"met": 2, "explanations": 3}]


def test_detections_are_counted_by_class(reader: RunReader) -> None:
    assert queries.detections(reader) == [{"predicted": None, "n": 11, "samples": 7, "mean_confidence": None}]


def test_maps_of_all_sizes_share_few_tables(reader: RunReader) -> None:
    tables = reader.query("SELECT view_name AS name FROM duckdb_views() WHERE view_name LIKE 'map_%' ORDER BY ALL")
    assert [table["name"] for table in tables] == ["map_varied_64"]
    rows = reader.query("SELECT n_valid, vec FROM map_varied_64")
    assert all(not any(row["vec"][row["n_valid"] :]) for row in rows) and len({row["n_valid"] for row in rows}) > 5


def test_only_grids_of_whole_pictures_are_summed_up(reader: RunReader) -> None:
    assert reader.query("SELECT * FROM rollup_class") == []
