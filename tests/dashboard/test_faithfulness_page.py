"""Faithfulness through AppTest: nothing yet, curves and numbers, what is not best, sanity checks, deletion checks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashboard.curves import curves
from dashboard.faithfulness import charts, results
from storage import Store, merge_faithfulness, parts_table
from storage.faithfulness import better
from tests.dashboard import make_store
from tests.dashboard.make_store import HOSTILE
from tests.dashboard.test_pages import open_page, text_of


@pytest.fixture
def own(store: Path, tmp_path: Path) -> Path:
    return shutil.copytree(store, tmp_path / "store")


def result(method: str, test: str, steps: int = 3, auc: float | None = 0.25, **more: Any) -> dict[str, Any]:
    points = np.linspace(0, 1, steps).tolist() if steps else []
    row = {"method": method, "modality": "image", "test": test, "curve": {"steps": points, "values": points}}
    return row | {"auc": auc, "n": 12} | more


def cascade_row(method: str, reacts: bool, modality: str = "image") -> dict[str, Any]:
    details = {"stages": ["head", "blocks.0", "embeddings"], "limit": 0.5, "reacts": reacts}
    row = result(method, "sanity cascade", auc=0.1 if reacts else 0.9, auc_low=0.05, auc_high=0.95, details=details)
    row["curve"] = {"steps": [1.0, 2.0, 3.0], "values": [0.9] * 3, "low": [0.8] * 3, "high": [1.0] * 3}
    return row | {"modality": modality}


def stored(store: Path, rows: list[dict[str, Any]], run: str = "shapes-vit", **about: Any) -> None:
    merge_faithfulness(Store.open(store).layout_of(run), rows, about)


def plain_text(test: Any) -> str:
    """All text of a page as people read it."""
    return text_of(test).replace("\\", "").replace("\u2060", "")


def test_without_results_it_says_where_they_come_from(app: Any, store: Path) -> None:
    test = open_page(app, store, "faithfulness", v="1", run="shapes-vit")
    assert "Evaluation results are made by `python -m jobs evaluate RUN`." in text_of(test)
    assert not test.get("plotly_chart") and not test.dataframe and not test.table


def test_curves_and_numbers_per_method(app: Any, own: Path) -> None:
    rows = [
        result("gae", "perturbation positive", auc=25.0, auc_low=24.0, auc_high=26.0),
        result("random", "perturbation positive", auc=50.0, auc_low=48.5, auc_high=51.0),
        result("gae", "pointing game", 0, auc=0.25),
        result(HOSTILE[0], "perturbation positive", auc=30.0),
    ]
    stored(own, rows, seed=1)
    test = open_page(app, own, "faithfulness", v="1", run="shapes-vit")
    assert len(test.get("plotly_chart")) == 1
    table = test.table[0].value.set_index("Method")
    column = "positive, lower is better"
    assert (table.index[0], table.index[-1]) == ("**gae** (this run)", "random")
    assert table.iloc[0][column] == ":material/star: **25.00 (24.0 to 26.0)**"
    assert table.loc["random", column] == "50.00 (48.5 to 51.0)"
    assert table.iloc[0]["pointing game, higher is better"] == "0.250"  # the only one is not the best of any
    assert set(table["Samples"]) == {"12"}
    assert "gae, this run's method, is the best in the one test" in plain_text(test)
    assert "seed: 1" in text_of(test)


def test_where_the_runs_own_method_is_not_best_a_sentence_says_so(app: Any, own: Path) -> None:
    rows = [
        result("gae", "perturbation positive", auc=25.0, auc_low=24.0, auc_high=26.0, protocol="vit"),
        result("rollout", "perturbation positive", auc=24.5, auc_low=23.5, auc_high=25.5, protocol="vit"),
        result("gae", "insertion blur", auc=60.0, auc_low=59.0, auc_high=61.0, protocol="insertion"),
        result("rollout", "insertion blur", auc=40.0, auc_low=39.0, auc_high=41.0, protocol="insertion"),
    ]
    stored(own, rows)
    said = plain_text(open_page(app, own, "faithfulness", v="1", run="shapes-vit"))
    assert "gae, this run's method, is the best in 1 of 2 tests, and not in 1." in said
    assert (
        "positive, vit, image: rollout is best with 24.50 (23.5 to 25.5), gae has 25.00 (24.0 to 26.0); "
        "their intervals overlap." in said
    )
    assert "insertion blur, insertion" not in said.split("Where")[0]


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("perturbation positive", "lower"),
        ("perturbation negative", "higher"),
        ("deletion mean positive", "lower"),
        ("deletion mean negative", "higher"),
        ("deletion mean gap", "higher"),
        ("insertion blur", "higher"),
        ("insertion blur negative", "lower"),
        ("segmentation mIoU", "higher"),
        ("pointing game", "higher"),
        ("pointing game, by chance", None),
        ("sanity cascade", None),
        ("similarity rollout", None),
    ],
)
def test_which_way_is_better(name: str, way: str | None) -> None:
    assert better(name) == way


def test_what_was_left_out_is_listed_by_reason(app: Any, own: Path) -> None:
    empty, flat = {"empty mask": 3}, {"the map is zero everywhere": 1}
    rows = [result("gae", "segmentation mIoU", 0, skipped=empty | flat)]
    rows += [result(m, "segmentation mAP", 0, skipped=empty) for m in ("gae", "rollout")]
    stored(own, rows)
    test = open_page(app, own, "faithfulness", v="1", run="shapes-vit")
    (first, second) = test.dataframe[0].value.to_dict("records")
    assert (first["reason"], first["samples"], first["methods"]) == ("empty mask", 3, "gae, rollout")
    assert first["tests"] == "segmentation mIoU, image; segmentation mAP, image"
    assert (second["reason"], second["samples"], second["methods"]) == ("the map is zero everywhere", 1, "gae")


def test_maps_that_do_not_react_are_flagged_wherever_maps_are_shown(app: Any, own: Path) -> None:
    stored(own, [cascade_row("gae", reacts=False), cascade_row("rollout", reacts=True)])
    test = open_page(app, own, "faithfulness", v="1", run="shapes-vit")
    assert "image maps of gae do not react" in test.error[0].value.replace("\\", "")
    assert len(test.get("plotly_chart")) == 1
    for page in ("suspects", "overview", "samples"):
        test = open_page(app, own, page, v="1", run="shapes-vit")
        assert sum("do not react" in warning.value for warning in test.warning) == 1, page
        assert any(
            link.proto.page.endswith("faithfulness") and link.label == "See the check" for link in test.get("page_link")
        )
    assert not any("do not react" in w.value for w in open_page(app, own, "runs", v="1", run="shapes-vit").warning)
    stored(
        own, [cascade_row("gae", reacts=True), cascade_row("rollout", reacts=False)]
    )  # of the run's method it is gone
    assert not any("do not react" in w.value for w in open_page(app, own, "overview", v="1", run="shapes-vit").warning)


def test_a_damaged_file_flags_nothing_on_other_pages(app: Any, own: Path) -> None:
    Store.open(own).layout_of("shapes-vit").faithfulness.write_bytes(b"broken")
    test = open_page(app, own, "overview", v="1", run="shapes-vit")
    assert not test.error and not test.warning


def test_how_alike_methods_are(app: Any, own: Path) -> None:
    pairs = {("gae", "rollout"): 0.7, ("gae", "lrp"): -0.2, ("rollout", "lrp"): None}
    rows = [result(a, f"similarity {b}", 0, auc=value) for (a, b), value in pairs.items()]
    figure = charts.alike(results.alike(rows)["image"], ["gae", "rollout", "lrp"])
    assert np.array(figure.data[0].z, float).tolist()[0] == [1.0, 0.7, -0.2]
    assert figure.data[0].z[1][2] is None and figure.data[0].text[2][0] == "-0.20"
    stored(own, rows)
    test = open_page(app, own, "faithfulness", v="1", run="shapes-vit")
    assert len(test.get("plotly_chart")) == 1 and not test.table


def test_a_cascade_names_its_stages_and_draws_the_limit() -> None:
    figure = charts.cascade([cascade_row("gae", True), cascade_row("rollout", True)], ["gae", "rollout"], "gae")
    assert list(figure.layout.xaxis.ticktext) == ["head", "0", "embeddings"]
    assert {shape.y0 for shape in figure.layout.shapes} == {0, 0.5}


def test_intervals_are_bands_and_a_method_looks_the_same_in_every_chart() -> None:
    band = {"low": [0.1, 0.2, 0.3], "high": [0.5, 0.6, 0.7]}
    rows = [result(name, "positive") for name in ("gae", "rollout")]
    rows[1]["curve"] |= band
    figure = curves(rows, ["gae", "rollout"], own="gae")
    (filled,) = [trace for trace in figure.data if trace.fill == "toself"]
    assert list(filled.y) == [0.1, 0.2, 0.3, 0.7, 0.6, 0.5] and filled.legendgroup == "rollout"
    alone = curves(rows[1:], ["gae", "rollout"], own="gae")
    looks = [t.line.color for f in (figure, alone) for t in f.data if t.mode == "lines+markers" and t.name == "rollout"]
    assert looks[0] == looks[1] and figure.data[-1].name == "gae" and figure.data[-1].line.width == 3


def test_a_line_per_method_is_told_apart_without_colour_and_names_are_text() -> None:
    figure = curves([result(name, "positive") for name in ("random", "gae", "rollout", HOSTILE[0])])
    looks = {(trace.line.dash, trace.marker.symbol) for trace in figure.data}
    assert len(looks) == 4 and figure.data[0].name == "random"  # drawn below the others
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
