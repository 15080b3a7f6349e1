"""Chart builders are pure: rows in, figure out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dashboard import charts
from dashboard.overlays import WHOLE
from tests.dashboard.make_store import HOSTILE


def test_confusion_colours_by_share_of_the_label() -> None:
    rows = [
        {"label": "a", "predicted": "a", "n": 3},
        {"label": "a", "predicted": "b", "n": 1},
        {"label": "b", "predicted": "b", "n": 5},
    ]
    figure, note = charts.confusion(rows)
    assert np.asarray(figure.data[0].z).tolist() == [[0.75, 0.25], [0, 1]]
    assert np.asarray(figure.data[0].text).tolist() == [[3, 1], [0, 5]]
    assert note == "" and list(figure.layout.xaxis.ticktext) == ["a", "b"]


def test_confusion_of_many_classes_shows_those_with_the_most_errors() -> None:
    names = [f"class {i:03d}" for i in range(100)]
    rows = [{"label": n, "predicted": n, "n": 50} for n in names] + [
        {"label": names[7], "predicted": names[70], "n": 9}
    ]
    figure, note = charts.confusion(rows)
    assert {"class 007", "class 070"} <= set(figure.layout.yaxis.ticktext)
    assert len(figure.layout.yaxis.ticktext) == charts.MAX_CLASSES and "24 of 100" in note


def test_long_names_that_look_alike_stay_apart() -> None:
    rows = [{"label": "x" * 50 + end, "predicted": "x" * 50 + end, "n": 1} for end in "ab"]
    figure, _ = charts.confusion(rows)
    assert np.asarray(figure.data[0].z).shape == (2, 2)


def test_histogram_bars_stand_on_their_bins() -> None:
    figure = charts.histogram([{"low": 0.0, "high": 0.5, "n": 4}, {"low": 0.5, "high": 1.0, "n": 6}], "score")
    assert list(figure.data[0].x) == [0.25, 0.75] and list(figure.data[0].y) == [4, 6]


def test_hover_names_rank_and_share_of_each_cell() -> None:
    relevancy = np.array([[0.1, 0.4], [0.2, 0.3]])
    figure = charts.picture(b"jpeg", (200, 100), relevancy, (0.25, 0.0, 0.75, 1.0), "viridis")
    cells = figure.data[0]
    assert [c[2] for row in cells.customdata for c in row] == [4, 1, 3, 2]
    assert cells.customdata[0][1][3] == 1.0 and list(cells.x) == [50, 100, 150] and list(cells.y) == [0, 50, 100]
    assert charts.picture(b"jpeg", (200, 100), None, WHOLE, "viridis").data == ()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_escaped_in_every_chart(text: str) -> None:
    figures = [
        charts.confusion([{"label": text, "predicted": text, "n": 1}])[0],
        charts.histogram([{"low": 0, "high": 1, "n": 1}], text),
    ]
    for figure in figures:
        spec = json.loads(figure.to_json())
        spec["layout"].pop("template", None)
        for part in spec["data"]:
            part.pop("hovertemplate", None)  # ours: holds <br> and <extra>
        assert "<" not in json.dumps(spec, ensure_ascii=False).replace("\\u003c", "<")
