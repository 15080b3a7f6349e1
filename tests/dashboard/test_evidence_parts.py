"""The numbers and pictures of the Evidence page against plain numpy, without a page."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from datetime import UTC, datetime
from io import BytesIO
from math import sqrt
from typing import Any

import html5lib
import numpy as np
import pytest
from PIL import Image

from dashboard.evidence import captions, dots, head, heat, intervals, intervention, meanmap, removal, scatter
from dashboard.evidence.dots import Dot
from dashboard.evidence.heat import Panel
from dashboard.evidence.scatter import Points
from engine.interventions.fills import fill_mean
from engine.interventions.regions import pixels_of
from engine.suspects.consequence import wilson
from storage import Entry
from storage.reviews.agreement import Agreement, agreement_of
from tests.dashboard.make_store import HOSTILE


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (20, 49), (26, 26), (0, 346), (499, 1000)])
def test_the_wilson_interval_holds_the_shares_that_its_test_does_not_refuse(k: int, n: int) -> None:
    found = intervals.share(k, n)
    assert found.value == k / n and found.low is not None and found.high is not None
    assert (found.low, found.high) == pytest.approx(wilson(k, n))  # as the search for suspects has it
    for edge in (found.low, found.high):  # on its edges, the share is 1.96 standard errors away
        if 1e-9 < edge < 1 - 1e-9:
            assert abs(k / n - edge) == pytest.approx(1.96 * sqrt(edge * (1 - edge) / n))
    assert found.low <= k / n <= found.high


def test_nothing_is_said_of_nothing() -> None:
    assert intervals.share(0, 0).percent() == "unknown"
    assert intervals.mean(0, None, None).number() == "unknown"
    assert intervals.mean(1, 0.5, None).number() == "0.5"


def test_the_interval_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = intervals.mean(400, float(values.mean()), float(values.std(ddof=1)))
    assert found.low is not None and found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std(ddof=1) / 20)


def test_principal_components_are_those_of_the_covariance() -> None:
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(60, 9)) @ rng.normal(size=(9, 9)) + 5
    places, variance = scatter.pca(vectors)
    values, axes = np.linalg.eigh(np.cov(vectors.T))
    np.testing.assert_allclose(variance, values[::-1][:2] / values.sum())
    for column in range(2):
        wanted = (vectors - vectors.mean(axis=0)) @ axes[:, -1 - column]
        assert abs(np.corrcoef(wanted, places[:, column])[0, 1]) == pytest.approx(1)
        assert places[:, column].var(ddof=1) == pytest.approx(values[-1 - column])
    np.testing.assert_array_equal(places, scatter.pca(vectors.copy())[0])
    np.testing.assert_allclose(scatter.pca(vectors[:, ::-1])[0], places, atol=1e-9)  # the sign hangs on nothing else


def test_components_of_points_on_a_line_and_of_equal_points() -> None:
    places, variance = scatter.pca(np.outer(np.arange(4.0), [1.0]))
    assert variance == (1.0, 0.0) and not places[:, 1].any()
    assert not scatter.pca(np.ones((5, 3)))[0].any()


def test_selected_points_are_named_by_their_data() -> None:
    points = [{"customdata": [7]}, {"customdata": 3}, {"customdata": {"0": 9}}, {"customdata": [7]}, {}]
    assert scatter.selected({"selection": {"points": points}}) == [7, 3, 9]
    assert scatter.selected(None) == scatter.selected({"selection": {}}) == []


def test_the_scatter_carries_ids_and_shows_names_as_text() -> None:
    member = np.array([True, False, True])
    shown = Points(np.array([5, 6, 7]), np.arange(6.0).reshape(3, 2), member, (0.5, 0.2))
    figure = scatter.chart(shown, f"others called {HOSTILE[0]}")
    others, members = figure.data
    assert (list(members.customdata), list(others.customdata)) == ([5, 7], [6])
    assert members.marker.symbol != others.marker.symbol
    assert "<script" not in json.dumps(figure.to_plotly_json(), default=list)


def test_each_map_counts_alike_and_empty_ones_do_not() -> None:
    maps = np.array([[1.0, 3.0], [100.0, 100.0], [0.0, 0.0], [-1.0, 4.0], [np.nan, 2.0]])
    np.testing.assert_allclose(meanmap.shares(maps), [[0.25, 0.75], [0.5, 0.5], [0, 1], [0, 1]])


@pytest.mark.parametrize("ground", ["light", "dark"])
def test_the_diverging_scale_has_its_ground_in_the_middle(ground: str) -> None:
    scale = meanmap.diverging(ground)
    assert scale[0][0] == 0 and scale[-1][0] == 1
    assert scale[len(scale) // 2] == (0.5, meanmap.MIDDLE[ground])


def parsed(html: str) -> Any:
    return html5lib.parseFragment(html, namespaceHTMLElements=False)


def styles(drawn: Any, mark: str) -> list[str]:
    """The styles with some property, in the order of the page."""
    return [e.get("style") for e in drawn.iter() if mark in e.get("style", "")]


def number(style: str, name: str) -> float:
    """The first number of a property."""
    return float(re.search(rf"(?:^|;){name}:(?:calc\()?(-?[\d.]+)", style)[1])  # type: ignore[index]


def test_mean_maps_beside_each_other() -> None:
    values = np.array([[0.1, 0.2, 0.0], [0.3, 0.0, 0.4]])
    panel = Panel(HOSTILE[0], values, meanmap.diverging("light"), -0.4, 0.4, "mean")
    drawn = parsed(heat.drawn([panel, panel, panel], "spoken"))
    assert {e.tag for e in drawn.iter()} <= {"DOCUMENT_FRAGMENT", "div", "span", "i"}
    told = [e.get("title") for e in drawn.iter("i")]
    assert told == [f"row {r + 1}, column {c + 1}; mean: {values[r, c]:.2%}" for r in range(2) for c in range(3)] * 3
    assert "".join(drawn.itertext()).count(HOSTILE[0][:20]) == 3
    assert [e.text for e in drawn.iter("span")] == ["-40 %", "0 %", "40 %"] * 3
    (encoded, *others) = re.findall(r"base64,([^)]+)", " ".join(styles(drawn, "base64")))
    assert others == [encoded] * 2
    pixels = np.asarray(Image.open(BytesIO(b64decode(encoded))))
    np.testing.assert_array_equal(pixels, heat.painted(panel))
    assert meanmap.strongest(values) == "most in row 2 of 2, column 3 of 3"


def test_a_map_has_the_colours_of_its_scale() -> None:
    scale = [(0.0, "#000000"), (0.5, "#6400ff"), (1.0, "#ffffff")]
    painted = heat.painted(Panel("", np.array([[-1.0, -0.5, 0.0], [0.5, 1.0, 2.0]]), scale, -1.0, 1.0, ""))
    half = [[0, 0, 0], [50, 0, 128], [100, 0, 255]], [[178, 128, 255], [255, 255, 255], [255, 255, 255]]
    assert np.abs(painted.astype(int) - half).max() <= 1
    flat = heat.painted(Panel("", np.zeros((2, 2)), scale, 0.0, 0.0, ""))
    assert not flat.any(), "a map without any relevancy"


def test_dots_with_their_intervals() -> None:
    lines = [Dot(HOSTILE[0], 0.4, 0.3, 0.6), Dot("control", 0.0, -0.1, 0.1, True, "5% change")]
    drawn, axis = parsed(dots.drawn(lines, "change")), dots.axis_of(lines, percent=False)
    assert {e.tag for e in drawn.iter()} <= {"DOCUMENT_FRAGMENT", "div", "span"}
    assert HOSTILE[0] in "".join(drawn.itertext())
    bars = styles(drawn, "border-width:0 2px")
    ends = [(axis.place(low), axis.place(high) - axis.place(low)) for low, high in ((0.3, 0.6), (-0.1, 0.1))]
    assert [(number(bar, "left"), number(bar, "width")) for bar in bars] == [pytest.approx(e, abs=0.01) for e in ends]
    (cue, control) = styles(drawn, "border:2px")
    assert [number(mark, "left") for mark in (cue, control)] == pytest.approx(
        [axis.place(0.4), axis.place(0.0)], abs=0.01
    )
    assert "rotate" in control and "rotate" not in cue
    assert drawn.find("div").get("aria-label") == f"change. {dots.spoken(lines)}"
    assert dots.spoken(lines[1:]) == "control: 0.00 (-0.10 to 0.10), 5% change"


@pytest.mark.parametrize(
    ("ends", "percent", "ticks"),
    [
        ((0.3, 0.6), False, [0, 0.2, 0.4, 0.6]),
        ((-0.013, 0.031), False, [-0.01, 0, 0.01, 0.02, 0.03]),
        ((-40.0, -3.0), False, [-40, -30, -20, -10, 0]),
        ((0.0, 0.0), False, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ((0.3, 0.6), True, [0, 0.2, 0.4, 0.6, 0.8, 1]),
    ],
)
def test_an_axis_holds_everything_and_has_round_marks(ends: tuple[float, float], percent: bool, ticks: list[float]):
    axis = dots.axis_of([Dot("a", ends[0], *ends)], percent=percent)
    assert list(axis.ticks) == pytest.approx(ticks)
    assert all(0 < axis.place(value) < 100 for value in (*ends, *ticks))


def test_every_effect_stands_above_its_control() -> None:
    numbers = {"mean": 0.5, "low": 0.4, "high": 0.6, "flips": 0.7, "n": 20}
    numbers |= {"control_mean": 0.0, "control_low": -0.1, "control_high": 0.1, "control_flips": 0.05}
    found = intervention.lines("concept", {"transplant": numbers, "removal": numbers}, False)
    assert [dot.name for dot in found] == [
        "cue removed",
        "as much removed elsewhere",
        "cue pasted into others",
        "as much of the rest pasted",
    ]
    assert found[0].more == "70% of the answers change" and found[1].more == "5% of the answers change"
    assert intervention.lines("pair_word", {"removal": numbers}, True)[0] == Dot("word taken out", 0.5, 0.4, 0.6)


# -- pictures -----------------------------------------------------------------------------------------


def picture(width: int = 48, height: int = 36) -> Image.Image:
    return Image.fromarray(np.random.default_rng(2).integers(0, 255, (height, width, 3)).astype(np.uint8))


def test_the_mean_fill_and_the_cells_are_those_of_the_test() -> None:
    import torch

    cells = np.zeros((3, 4), dtype=bool)
    cells[0, 1] = cells[2, 3] = True
    image = picture()
    removed = pixels_of(cells.reshape(1, -1), (3, 4), (36, 48))
    np.testing.assert_array_equal(removed[0].numpy(), removal.pixels_of(cells, image.size))
    wanted = fill_mean(torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].double(), removed)
    found = np.asarray(removal.fill_mean(image, cells), dtype=float)
    assert np.abs(found - wanted[0].permute(1, 2, 0).numpy()).max() <= 0.5


def test_fills_touch_only_the_cue() -> None:
    cells = np.zeros((3, 4), dtype=bool)
    cells[1, 1:3] = True
    image = picture()
    removed = removal.pixels_of(cells, image.size)
    for painted in (removal.fill_mean(image, cells), removal.fill_blur(image, cells)):
        changed = (np.asarray(painted) != np.asarray(image)).any(axis=2)
        assert not (changed & ~removed).any() and changed[removed].mean() > 0.9
    whole = np.ones((3, 4), dtype=bool)
    assert len(np.unique(np.asarray(removal.fill_mean(image, whole)).reshape(-1, 3), axis=0)) == 1


def test_the_control_is_as_large_and_elsewhere() -> None:
    cells = np.zeros((6, 6), dtype=bool)
    cells[:2, :3] = True
    control = removal.control_of(cells, 3)
    assert control.sum() == cells.sum() and not (control & cells).any()
    np.testing.assert_array_equal(control, removal.control_of(cells, 3))
    most = np.ones((4, 4), dtype=bool)
    most[0] = False
    assert removal.control_of(most, 1).sum() == 4  # all that is left


def test_what_the_model_sees_is_cut_from_the_picture() -> None:
    image = picture(80, 40)
    seen = removal.as_seen(image, (0.25, 0.0, 0.75, 1.0), (4, 4), 40)
    np.testing.assert_array_equal(np.asarray(seen), np.asarray(image)[:, 20:60])
    padded = np.asarray(removal.as_seen(image, (0.0, -0.5, 1.0, 1.5), (4, 4), 80))
    assert padded.shape == (80, 80, 3) and (padded[:20] == 128).all()
    np.testing.assert_array_equal(padded[20:60], np.asarray(image))


def test_cells_of_a_box_in_a_cropped_view() -> None:
    cells = removal.cells_in((0.25, 0.0, 0.5, 0.5), (0.25, 0.0, 0.75, 1.0), (4, 4))
    assert cells.sum() == 4 and cells[:2, :2].all()


def test_patches_show_a_cue_from_its_cut_on() -> None:
    looks, center = np.array([[1.0, 0.0], [0.0, 0.9]]), np.array([1.0, 1.0])
    states = np.array([[3.0, 1.0], [1.0, 3.0], [0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    assert removal.alike(states, looks, center, 0.8).tolist() == [True, True, False, False, False]
    assert removal.alike(states, looks, center, 0.7).tolist() == [True, True, False, False, True]


def test_an_outline_goes_around_the_cells() -> None:
    cells = np.zeros((4, 4), dtype=bool)
    cells[1, 1] = True
    ground = Image.new("RGB", (80, 80), (90, 90, 90))
    drawn = np.asarray(removal.outlined(ground, cells))
    assert (drawn[20, 25:35] != 90).any() and (drawn[60:, 60:] == 90).all() and (drawn[30, 30] == 90).all()


# -- texts and people ---------------------------------------------------------------------------------


def test_a_word_is_taken_out_as_the_test_does() -> None:
    from engine.interventions.words import without_word

    for text in ("A Photo of a photo-album, photo!", "don't", "photo", "no such word  here", *HOSTILE):
        for word in ("photo", "don", "a", ""):
            assert captions.without_word(text, word) == without_word(text, word)


def entry(number: int, reviewer: str, verdict: str, takes_back: int | None = None) -> Entry:
    return Entry(number, datetime(2026, 1, 1, tzinfo=UTC), "run", "s", reviewer, verdict, HOSTILE[0], takes_back)


def test_the_history_marks_what_was_taken_back() -> None:
    entries = [entry(1, "ann", "spurious"), entry(2, "bob", "unsure"), entry(3, "ann", "", 1)]
    told = [(row["who"], row["verdict"]) for row in head.history(entries)]
    assert told == [("ann", "undo of “spurious”"), ("bob", "unsure"), ("ann", "spurious (undone)")]


def test_agreement_in_words() -> None:
    assert head.agreement_line(agreement_of([entry(1, "ann", "spurious")])) == ""
    line = head.agreement_line(Agreement(0.415, 2, 12, 0.75))
    assert "2 reviewers" in line and "12 suspects" in line and "75%" in line and "kappa 0.41" in line
    assert "not defined" in head.agreement_line(Agreement(None, 2, 1, 1.0))


def test_neighbours_of_a_suspect() -> None:
    rows = [{"id": name} for name in "abc"]
    assert head.neighbours(rows, "a") == (None, "b", 1)
    assert head.neighbours(rows, "b") == ("a", "c", 2)
    assert head.neighbours(rows, "x") == (None, None, 0)
