"""Summaries of maps, against the plain writing and on maps whose answer is known."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

from engine.summaries import image_summaries, text_summaries, top_tokens


def test_against_the_plain_writing():
    rng = np.random.default_rng(0)
    maps = rng.gamma(0.5, size=(4, 6 * 9)).astype(np.float32)
    summaries = image_summaries(maps, (6, 9))
    for i, row in enumerate(maps.astype(np.float64)):
        x, y = oracles.centre_of_mass(row.reshape(6, 9))
        assert summaries["entropy"][i] == pytest.approx(oracles.entropy(row), abs=1e-5)
        assert summaries["top10_mass"][i] == pytest.approx(oracles.top_mass(row, 0.1), abs=1e-5)
        assert summaries["center_x"][i] == pytest.approx(x, abs=1e-5)
        assert summaries["center_y"][i] == pytest.approx(y, abs=1e-5)
        assert summaries["mass"][i] == pytest.approx(row.sum(), rel=1e-5)


def one_cell(row, column, grid=(10, 10)):
    cells = np.zeros(grid, dtype=np.float32)
    cells[row, column] = 3.0
    return cells.reshape(1, -1)


@pytest.mark.parametrize(
    ("cell", "border", "corner"),
    [((0, 0), 1, "corner_tl"), ((0, 9), 1, "corner_tr"), ((9, 0), 1, "corner_bl"), ((9, 9), 1, "corner_br"),
     ((1, 1), 0, "corner_tl"), ((5, 5), 0, None)],
)  # fmt: skip
def test_one_relevant_cell(cell, border, corner):
    summaries = image_summaries(one_cell(*cell), (10, 10))
    assert summaries["entropy"][0] == 0
    assert summaries["top10_mass"][0] == 1
    assert summaries["border_share"][0] == border
    assert summaries["center_x"][0] == pytest.approx(cell[1] / 10 + 0.05)
    assert summaries["center_y"][0] == pytest.approx(cell[0] / 10 + 0.05)
    for name in ("corner_tl", "corner_tr", "corner_bl", "corner_br"):
        assert summaries[name][0] == (name == corner)


def test_uniform_map_has_entropy_one():
    summaries = image_summaries(np.ones((1, 100), dtype=np.float32), (10, 10))
    assert summaries["entropy"][0] == pytest.approx(1)
    assert summaries["border_share"][0] == pytest.approx(0.36)


def test_mask_share_counts_partly_covered_cells_partly():
    masks = np.zeros((1, 10, 10), dtype=np.float32)
    masks[0, 2, 3] = 0.25
    summaries = image_summaries(one_cell(2, 3), (10, 10), masks=masks, boxes=np.full((1, 10, 10), np.nan))
    assert summaries["mask_share"][0] == 0.25
    assert np.isnan(summaries["box_share"][0])


@pytest.mark.parametrize("value", [0.0, np.nan, -1.0])
def test_maps_without_positive_relevancy_have_no_shares(value):
    summaries = image_summaries(np.full((1, 16), value, dtype=np.float32), (4, 4))
    assert all(np.isnan(v[0]) for k, v in summaries.items() if k != "mass")


def test_text_summaries_leave_special_tokens_out():
    maps = np.array([[9.0, 1.0, 3.0, 9.0, 9.0]], dtype=np.float32)
    tokens = [["", "red", "boat", ""]]
    summaries = text_summaries(maps, tokens)
    assert summaries["mass"][0] == 4
    assert summaries["top10_mass"][0] == 0.75
    assert top_tokens(maps, tokens) == [["boat", "red"]]
    assert np.isnan(text_summaries(maps, [["", ""]])["entropy"][0])
