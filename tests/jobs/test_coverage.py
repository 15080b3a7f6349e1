"""Areas are exact: small cases by hand, and a fine raster as the slow second way."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.coverage import cover_of_boxes, cover_of_mask, parse_boxes


def raster(mask: np.ndarray, view: tuple[float, ...], grid: tuple[int, int], fine: int = 120) -> np.ndarray:
    """Share of covered points on a fine raster of each cell."""
    height, width = mask.shape
    x0, y0, x1, y1 = view
    cells = np.zeros(grid)
    for i in range(grid[0] * fine):
        for j in range(grid[1] * fine):
            y = (y0 + (y1 - y0) * (i + 0.5) / (grid[0] * fine)) * height
            x = (x0 + (x1 - x0) * (j + 0.5) / (grid[1] * fine)) * width
            inside = 0 <= y < height and 0 <= x < width and mask[int(y), int(x)]
            cells[i // fine, j // fine] += inside / fine**2
    return cells


def test_a_mask_that_fits_the_grid() -> None:
    mask = np.zeros((4, 4), bool)
    mask[:2, 2:] = True
    assert cover_of_mask(mask, (0, 0, 1, 1), (2, 2)).tolist() == [[0, 1], [0, 0]]
    assert cover_of_mask(mask, (0, 0, 1, 1), (1, 1)).tolist() == [[0.25]]


@pytest.mark.parametrize("view", [(0, 0, 1, 1), (0.2, 0.1, 0.7, 0.9), (-0.25, 0, 1.25, 1)])
def test_any_view_agrees_with_a_raster(view: tuple[float, ...]) -> None:
    mask = np.random.default_rng(1).random((7, 5)) > 0.5
    assert np.allclose(cover_of_mask(mask, view, (3, 2)), raster(mask, view, (3, 2)), atol=0.02)  # type: ignore[arg-type]


def test_a_box_is_a_mask() -> None:
    mask = np.zeros((9, 12), bool)
    mask[2:7, 3:11] = True
    view = (0.1, -0.1, 0.9, 1.1)
    box = cover_of_boxes(np.array([[3, 2, 11, 7]]), (12, 9), view, (4, 4))
    assert np.allclose(box, cover_of_mask(mask, view, (4, 4)), atol=1e-5)
    twice = cover_of_boxes(np.array([[3, 2, 11, 7]] * 2), (12, 9), view, (4, 4))
    assert twice.max() <= 1


def test_boxes_from_text() -> None:
    assert parse_boxes("[1, 2, 3, 4]").tolist() == [[1, 2, 3, 4]]
    assert parse_boxes("[[1, 2, 3, 4], [5, 6, 7, 8]]").shape == (2, 4) and parse_boxes("[]").shape == (0, 4)
    for bad in ("[1, 2]", "x", "[[1, 2, 3, null]]", '"a"'):
        with pytest.raises((ValueError, TypeError)):
            parse_boxes(bad)
