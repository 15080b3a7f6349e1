"""Faithfulness through AppTest: nothing yet, curves and areas, deletion checks beside random."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashboard.curves import curves
from storage import Store, parts_table, write_faithfulness
from tests.dashboard import make_store
from tests.dashboard.make_store import HOSTILE
from tests.dashboard.test_pages import open_page, text_of


@pytest.fixture
def own(store: Path, tmp_path: Path) -> Path:
    return shutil.copytree(store, tmp_path / "store")


def result(method: str, test: str, steps: int = 3, auc: float | None = 0.25) -> dict[str, Any]:
    points = np.linspace(0, 1, steps).tolist() if steps else []
    return {"method": method, "modality": "image", "test": test, "curve": {"steps": points, "values": points}} | {
        "auc": auc,
        "n": 12,
    }


def test_without_results_it_says_where_they_come_from(app: Any, store: Path) -> None:
    test = open_page(app, store, "faithfulness", v="1", run="shapes-vit")
    assert "python -m jobs evaluate RUN" in text_of(test)
    assert not test.get("plotly_chart") and not test.dataframe


def test_curves_and_areas_per_method(app: Any, own: Path) -> None:
    rows = [result("gae", "positive"), result("random", "positive", auc=0.5), result("gae", "pointing game", 0)]
    write_faithfulness(Store.open(own).layout_of("shapes-vit"), [*rows, result(HOSTILE[0], "positive")], {"seed": 1})
    test = open_page(app, own, "faithfulness", v="1", run="shapes-vit")
    assert len(test.get("plotly_chart")) == 1
    table = test.dataframe[0].value.set_index("method")
    assert table.loc["gae", "positive, image"] == table.loc["gae", "pointing game, image"] == 0.25
    assert table.loc["random", "positive, image"] == 0.5 and set(table["n"]) == {12}
    assert "seed: 1" in text_of(test)


def test_a_line_per_method_is_told_apart_without_colour_and_names_are_text() -> None:
    figure = curves([result(name, "positive") for name in ("random", "gae", "rollout", HOSTILE[0])])
    looks = {(trace.line.dash, trace.marker.symbol) for trace in figure.data}
    assert len(looks) == 4 and figure.data[-1].name == "random"
    assert all("<script" not in str(trace.name) for trace in figure.data)


def test_a_damaged_file_is_one_line(app: Any, own: Path) -> None:
    Store.open(own).layout_of("shapes-vit").faithfulness.write_bytes(b"broken")
    test = open_page(app, own, "faithfulness", v="1", run="shapes-vit")
    assert len(test.error) == 1 and "evaluating the run again" in test.error[0].value.replace("\\", "")


def test_deletion_checks_of_pairs_stand_beside_random(app: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    falls = rng.normal(1, 1, (9, 2)).astype(np.float32)
    rows = []
    for scene, (fall, chance) in zip(make_store.scenes(9, seed=11), falls, strict=True):
        image, text = make_store.pair_rows(scene)
        rows += [{**image, "drop_mean": fall, "drop_mean_random": chance}, text]
    record = make_store.record(tmp_path, 9, "pairs", make_store.METADATA[:1])
    with Store.open(tmp_path / "store", create=True).writer("pairs", record) as writer:
        writer.commit_part(0, parts_table(rows, make_store.METADATA[:1]))
        writer.finish()
    test = open_page(app, tmp_path / "store", "faithfulness", v="1", run="pairs")
    (row,) = test.dataframe[0].value.to_dict("records")
    assert row["median"] == pytest.approx(np.median(falls[:, 0])) and row["n"] == 9
    assert row["median_random"] == pytest.approx(np.median(falls[:, 1]))
    assert row["stronger"] == pytest.approx(100 * np.mean(falls[:, 0] > falls[:, 1]))
