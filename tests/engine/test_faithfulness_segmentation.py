"""Weakly supervised segmentation, Otsu's threshold and localisation, beside plain writings, sklearn, OpenCV, Pillow."""

from __future__ import annotations

import cv2
import numpy as np
import oracles_faithfulness as plain
import pytest
from PIL import Image
from skimage.filters import threshold_otsu
from sklearn.metrics import average_precision_score

from engine.faithfulness.localisation import LocalisationTotals, energy_inside, pointing_game, relevancy_inside
from engine.faithfulness.otsu import otsu_mask, otsu_threshold, to_levels
from engine.faithfulness.regions import box_mask, nearest, upsampled
from engine.faithfulness.segmentation import SegmentationTotals, average_precision, two_channel_precision


def blob(size, seed=0):
    """A smooth map with one bump and the disk around it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    cy, cx = rng.uniform(0.3, 0.7, 2) * size
    far = np.hypot(y - cy, x - cx)
    relevancy = np.exp(-((far / (size[0] / 4)) ** 2)) + 0.05 * rng.random(size)
    return relevancy.astype(np.float32), far < size[0] / 4


@pytest.mark.parametrize("seed", range(6))
def test_otsu_equals_all_cuts_opencv_and_scikit_image(seed):
    rng = np.random.default_rng(seed)
    levels = np.concatenate([rng.normal(60, 20, 900), rng.normal(180, 5 + 10 * seed, 300)]).clip(0, 255)
    levels = levels.astype(np.uint8).reshape(30, 40)
    found = otsu_threshold(levels)
    assert found == plain.otsu_by_all_cuts(levels)
    assert found == int(cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0])
    assert ((levels > found) == (levels > threshold_otsu(levels))).all()


def test_otsu_takes_the_lowest_of_equal_cuts_and_knows_no_cut():
    assert otsu_threshold(np.array([10, 10, 200, 200], np.uint8)) == 10
    assert otsu_threshold(np.full((4, 4), 7, np.uint8)) == 0
    assert otsu_threshold(np.zeros(0, np.uint8)) == 0


def test_otsu_mask_follows_the_authors_steps():
    relevancy, disk = blob((25, 30))
    levels = (255 * (relevancy - relevancy.min()) / (relevancy.max() - relevancy.min())).astype(np.uint8)
    assert np.abs(levels.astype(int) - to_levels(relevancy)).max() <= 1  # the order of two float products
    theirs = cv2.threshold(to_levels(relevancy), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1] > 0
    assert (otsu_mask(relevancy) == theirs).all()
    assert (otsu_mask(relevancy) & disk).sum() > 0.5 * disk.sum()
    assert not otsu_mask(np.full((3, 3), 2.0)).any()
    assert not otsu_mask(np.array([[np.nan, 1.0], [0.0, 2.0]])).any()


def test_resizing_equals_the_plain_writing_and_pillow():
    rng = np.random.default_rng(0)
    cells, mask = rng.random((5, 7)).astype(np.float32), rng.random((37, 50)) > 0.5
    np.testing.assert_allclose(upsampled(cells, (23, 30)), plain.bilinear(cells, (23, 30)), atol=1e-6)
    theirs = np.asarray(Image.fromarray(mask.astype(np.uint8)).resize((61, 29), Image.Resampling.NEAREST)) > 0
    assert (nearest(mask, (29, 61)) == theirs).all()


def test_average_precision_equals_scikit_learn_also_with_ties():
    rng = np.random.default_rng(1)
    for scores in (rng.random(400), rng.integers(0, 5, 400) / 4, np.ones(400)):
        positive = rng.random(400) < 0.3
        assert average_precision(scores, positive) == pytest.approx(average_precision_score(positive, scores))
    assert np.isnan(average_precision(np.ones(3), np.zeros(3, bool)))


def test_numbers_equal_the_plain_writing():
    samples = [blob((12, 12), seed) for seed in range(5)]
    totals = SegmentationTotals(size=None)
    assert [totals.add(relevancy, mask) for relevancy, mask in samples] == [None] * 5
    found, expected = totals.results(), plain.segmentation_numbers(samples)
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, abs=1e-6), name
        assert found[name].low <= found[name].value <= found[name].high
        assert found[name].low < found[name].high
        assert found[name].n == 5


def test_two_channels_equal_scikit_learn_on_the_authors_arrays():
    relevancy, mask = blob((20, 20), 3)
    scaled = (relevancy - relevancy.min()) / (relevancy.max() - relevancy.min())
    theirs = average_precision_score(
        np.stack([~mask, mask]).astype(int).ravel(), np.stack([1 - scaled, scaled]).ravel()
    )
    assert two_channel_precision(scaled, mask) == pytest.approx(theirs, abs=1e-6)


def test_a_map_that_is_the_mask_is_best_and_its_opposite_worst():
    mask = np.zeros((224, 224), bool)
    mask[32:96, 48:160] = True
    cells = mask[8::16, 8::16].astype(np.float32)  # blocks of 16: bilinear only blurs the edges
    best, worst = SegmentationTotals(), SegmentationTotals()
    best.add(cells, mask)
    worst.add(1 - cells, mask)
    one = {name: estimate.value for name, estimate in best.results().items()}
    other = {name: estimate.value for name, estimate in worst.results().items()}
    assert one["pixel_accuracy"] > 0.94 and one["miou"] > 0.8 and one["map"] > 0.98
    assert other["pixel_accuracy"] < 0.06 and other["miou"] < 0.05
    assert other["map"] < 0.5  # chance: in two channels, half of all is right


def test_the_dataset_is_summed_not_averaged_over_pictures():
    half, tiny = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    half[:4], tiny[0, 0] = True, True
    perfect, wrong = half.astype(np.float32), half[::-1].astype(np.float32)
    totals = SegmentationTotals(size=None)
    totals.add(perfect, half)
    totals.add(wrong, tiny)  # foreground: 0 of 33; background: 31 of 63
    assert totals.results()["iou_foreground"].value == pytest.approx(32 / (32 + 33))
    assert totals.results()["iou_background"].value == pytest.approx((32 + 31) / (32 + 64))


def test_void_pixels_count_neither_way():
    relevancy, mask = blob((16, 16), 2)
    void = np.zeros((16, 16), bool)
    void[:, 8:] = True
    whole, half = SegmentationTotals(size=None), SegmentationTotals(size=None)
    flipped = mask.copy()
    flipped[void] = ~flipped[void]
    whole.add(relevancy, mask, void)
    half.add(relevancy, flipped, void)
    assert whole.results()["pixel_accuracy"].value == half.results()["pixel_accuracy"].value
    assert whole.results()["map"].value == half.results()["map"].value


def test_what_cannot_be_scored_is_skipped_and_counted():
    good, mask = blob((28, 28))
    totals, places = SegmentationTotals(), LocalisationTotals()
    odd = [
        (np.full((7, 7), np.nan), mask, None, None),
        (np.full((7, 7), np.inf), mask, None, None),
        (np.zeros((7, 7)), mask, None, None),
        (np.full((7, 7), 3.0), mask, None, None),
        (np.ones((1, 1)), mask, None, None),
        (good, None, None, None),
        (good, np.zeros((28, 28), bool), None, None),
        (good, mask, mask, None),
        (good, mask, None, (28, 40)),
        (good, mask, np.zeros((3, 3), bool), None),
    ]
    for sample in odd:
        assert totals.add(*sample) == places.add(*sample) is not None
    assert totals.add(good, mask, None, (280, 281)) is None  # the same aspect at another scale
    assert places.add(good, mask) is None
    assert sum(totals.skipped.values()) == len(odd) and len(totals) == len(places) == 1
    assert totals.skipped["empty mask"] == 2 and totals.skipped["mask of another size"] == 1
    assert np.isnan(totals.results()["map"].low) and not np.isnan(totals.results()["map"].value)
    nothing = SegmentationTotals().results()["miou"]
    assert nothing.n == 0 and nothing.to_json() == {"value": None, "low": None, "high": None, "n": 0}


def test_the_pointing_game_equals_the_plain_writing():
    rng = np.random.default_rng(4)
    for _ in range(20):
        relevancy, region = rng.integers(0, 6, (15, 18)).astype(np.float32), rng.random((15, 18)) < 0.02
        region[3, 3] = True
        hit, chance = pointing_game(relevancy, region, 2.5)
        assert hit == pytest.approx(plain.pointing(relevancy, region, 2.5))
        points = np.eye(15 * 18).reshape(-1, 15, 18)
        assert chance == pytest.approx(np.mean([plain.pointing(point, region, 2.5) for point in points]))


def test_the_tolerance_is_an_edge():
    relevancy, region = np.zeros((40, 40), np.float32), np.zeros((40, 40), bool)
    relevancy[20, 20], region[20, 35] = 1, True
    assert pointing_game(relevancy, region, 15)[0] == 1
    assert pointing_game(relevancy, region, 14.9)[0] == 0


def test_shares_inside_and_their_chance():
    relevancy = np.array([[3.0, -1.0], [1.0, 0.0]], np.float32)
    region = np.array([[True, True], [False, False]])
    assert relevancy_inside(relevancy, region) == (0.75, 0.5)
    assert energy_inside(relevancy, region) == pytest.approx(4 / 7)  # min-max: 4, 0, 2, 1
    totals = LocalisationTotals()
    assert totals.add(-np.abs(relevancy) - 1, region) == "no positive relevancy"
    assert len(totals) == 0


def test_random_maps_are_inside_as_often_as_chance_says():
    rng, totals = np.random.default_rng(5), LocalisationTotals()
    for seed in range(60):
        totals.add(rng.random((14, 14)).astype(np.float32), blob((224, 224), seed)[1])
    found = totals.results()
    assert found["lift"].low <= 0 <= found["lift"].high
    assert abs(found["pointing"].value - found["pointing_chance"].value) < 0.2
    assert found["inside"].n == 60


def test_boxes_become_pixels_by_their_centres():
    mask = box_mask(np.array([[1, 0, 3, 2], [3.6, 3.4, 5, 4]]), (4, 5))
    assert mask.astype(int).tolist() == [[0, 1, 1, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]]
