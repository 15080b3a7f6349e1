"""Region maps and detection boxes, painted: pixels that can be checked one by one."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dashboard import charts, colormaps, overlays
from dashboard.boxes import RegionMap, outline, owners, pixels
from dashboard.overlays import WHOLE, Look

GREY = (100, 100, 100)
BOXES = np.array([[0.0, 0.0, 0.5, 0.5], [0.25, 0.25, 1.0, 1.0], [0.8, 0.0, 1.0, 0.1]])


def plain(width: int = 800, height: int = 800) -> Image.Image:
    return Image.new("RGB", (width, height), GREY)


def test_the_most_relevant_region_lies_on_top() -> None:
    owner = owners(RegionMap(BOXES, np.array([2.0, 1.0, 3.0])), (40, 40))
    assert owner[5, 5] == owner[15, 15] == 0  # under both boxes the stronger one counts
    assert owner[30, 30] == 1 and owner[1, 39] == 2 and owner[39, 0] == -1


def test_regions_are_shaded_by_relevancy() -> None:
    regions = RegionMap(BOXES, np.array([0.0, 4.0, 1.0]))
    painted = np.asarray(overlays.blend(plain(), regions, WHOLE, Look("map", 100, "viridis")), dtype=int)
    strong, weak = (colormaps.paint(np.array([v]), "viridis")[0].astype(int) for v in (1.0, 0.25))
    assert np.abs(painted[600, 600] - strong).max() <= 1  # away from outlines and numbers
    assert np.abs(painted[50, 720] - weak).max() <= 1
    assert tuple(painted[750, 20]) == (128, 128, 128)  # no region there


def test_overlay_keeps_the_picture_where_there_is_no_region() -> None:
    regions = RegionMap(BOXES, np.array([0.0, 4.0, 1.0]))
    painted = np.asarray(overlays.blend(plain(), regions, WHOLE, Look("overlay", 100, "viridis")), dtype=int)
    assert np.abs(painted[750, 20] - np.array(GREY)).max() < 20
    assert np.abs(painted[600, 600] - np.array(GREY)).max() > 60
    assert (
        np.asarray(overlays.blend(plain(), regions, WHOLE, Look("original"))).tolist() == np.asarray(plain()).tolist()
    )


def test_only_the_strongest_are_outlined_and_zeros_never() -> None:
    boxes = np.array([[0.1 * i, 0.1, 0.1 * i + 0.08, 0.4] for i in range(9)])
    values = np.array([0, 0, 0, 7, 6, 5, 4, 3, 2], dtype=float)
    assert RegionMap(boxes, values).strongest() == [3, 4, 5, 6, 7]
    assert RegionMap(boxes, np.zeros(9)).strongest() == []
    large = np.asarray(overlays.blend(plain(), RegionMap(boxes, values), WHOLE, Look("map")))
    small = np.asarray(overlays.blend(plain(300, 300), RegionMap(boxes, values), WHOLE, Look("map")))
    for painted, outlined in ((large, {3, 4, 5, 6, 7}), (small, {3, 4, 5})):
        height, width = painted.shape[:2]
        seen = set()
        for i, box in enumerate(boxes):
            left, top, _, bottom = pixels(box, (width, height))
            rim = painted[top:bottom, left : left + 8].reshape(-1, 3)
            if (rim == 255).all(axis=1).any():
                seen.add(i)
        assert seen == outlined


def test_a_detection_is_outlined_in_every_look() -> None:
    for mode in overlays.MODES:
        painted = np.asarray(overlays.blend(plain(), np.ones((2, 2)), WHOLE, Look(mode), (0.25, 0.25, 0.75, 0.75)))
        assert (painted[200:206, 400] == 255).all(axis=1).any() and (painted[200:206, 400] == 0).all(axis=1).any()
        assert not (painted[400, 390:410] == 255).all(axis=1).any()  # the inside is as it was


@pytest.mark.parametrize("box", [(0, 0, 0, 0), (1, 1, 1, 1), (-0.5, -0.5, 2, 2), (0.5, 0.5, 0.4, 0.4)])
def test_odd_boxes_stay_inside_the_picture(box: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = pixels(box, (50, 30))
    assert 0 <= left < right <= 50 and 0 <= top < bottom <= 30
    assert outline(plain(50, 30), box, "12").size == (50, 30)


def test_the_pointer_meets_the_region_on_top() -> None:
    regions = RegionMap(BOXES, np.array([2.0, 1.0, 4.0]))
    figure = charts.picture(b"jpeg", (400, 200), regions, WHOLE, "viridis")
    (cells,) = figure.data
    z = np.asarray(cells.z, dtype=float)
    assert z.shape == (40, 80) and z[5, 5] == 2.0 and z[30, 60] == 1.0 and np.isnan(z[39, 0])
    assert cells.customdata[5][5][0] == 2 and tuple(cells.customdata[0][79]) == (1, 1.0)
