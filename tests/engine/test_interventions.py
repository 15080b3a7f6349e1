"""Regions of pictures are changed and nothing else is; what the model reads is proved, what it ignores refuted."""

from __future__ import annotations

import itertools

import numpy as np
import oracles
import pytest
import torch

from engine.interventions.effect import Effect, effect_of, interval
from engine.interventions.fills import FILLS, fill_blur, fill_inpaint, fill_mean
from engine.interventions.pictures import remove, transplant
from engine.interventions.regions import control_cells, pixels_of

GRID, SIZE = (5, 7), (33, 50)  # no whole number of pixels in a cell


def boards(seed: int, count: int, share: float = 0.2, grid=GRID) -> np.ndarray:
    return np.random.default_rng(seed).random((count, grid[0] * grid[1])) < share


def pictures(seed: int, count: int, size=SIZE) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((count, 3, *size), dtype=np.float32))


# -- regions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("grid", "size"), [((5, 7), (33, 50)), ((4, 4), (32, 32)), ((7, 3), (7, 5)), ((6, 6), (9, 8))])
def test_a_pixel_belongs_to_the_cell_of_its_center(grid, size):
    cells = boards(0, 3, 0.5, grid)
    pixels = pixels_of(cells, grid, size)
    assert pixels.shape == (3, *size) and pixels.dtype == torch.bool
    for b, y, x in itertools.product(range(3), range(size[0]), range(size[1])):
        row, column = oracles.cell_of_pixel(y, x, size, grid)
        assert pixels[b, y, x] == cells[b, row * grid[1] + column]


def shifts(cells: np.ndarray, grid: tuple[int, int]) -> list[set[int]]:
    """The same cells moved by every number of rows and columns; what leaves at an edge comes in at the opposite one."""
    places = [divmod(int(cell), grid[1]) for cell in np.flatnonzero(cells)]
    return [
        {(y + dy) % grid[0] * grid[1] + (x + dx) % grid[1] for y, x in places}
        for dy in range(grid[0]) for dx in range(grid[1])
    ]  # fmt: skip


def block(rows: slice, columns: slice, grid=(7, 7)) -> np.ndarray:
    board = np.zeros(grid, bool)
    board[rows, columns] = True
    return board.reshape(-1)


SHAPES = [block(slice(2, 4), slice(3, 6)), block(slice(0, 3), slice(0, 3)), boards(4, 1, 0.1, (7, 7))[0]]


@pytest.mark.parametrize("shape", SHAPES)
def test_control_has_the_same_shape_elsewhere(shape):
    places = set()
    for seed in range(20):
        control = control_cells(shape, (7, 7), np.random.default_rng(seed))
        assert control.sum() == shape.sum() and not (control & shape).any()
        assert set(np.flatnonzero(control)) in shifts(shape, (7, 7))
        places.add(tuple(np.flatnonzero(control)))
    assert len(places) > 5  # not always the same
    again = [control_cells(shape, (7, 7), np.random.default_rng(3)) for _ in range(2)]
    np.testing.assert_array_equal(*again)


def test_control_of_what_cannot_be_moved_is_as_large():
    cross = block(slice(3, 4), slice(0, 7)) | block(slice(0, 7), slice(3, 4))
    assert all(moved & set(np.flatnonzero(cross)) for moved in shifts(cross, (7, 7)))  # it fits nowhere else
    controls = [control_cells(cross, (7, 7), np.random.default_rng(seed)) for seed in range(5)]
    assert all(one.sum() == 13 and not (one & cross).any() for one in controls)
    assert len({tuple(one) for one in controls}) == 5


@pytest.mark.parametrize(("count", "left"), [(0, 0), (30, 19), (49, 0)])
def test_control_of_most_of_a_picture_is_all_that_is_left(count, left):
    cells = np.arange(49) < count
    control = control_cells(cells, (7, 7), np.random.default_rng(0))
    assert control.sum() == left and not (control & cells).any()


# -- fills --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILLS)
def test_all_other_pixels_stay_as_they_are(name):
    images, removed = pictures(0, 4), pixels_of(boards(1, 4, 0.4), GRID, SIZE)
    before = images.clone()
    filled = FILLS[name](images, removed)
    kept = ~removed[:, None].expand_as(images)
    assert torch.equal(filled[kept], images[kept]) and torch.equal(images, before)
    assert torch.isfinite(filled).all() and (filled[~kept] != images[~kept]).float().mean() > 0.99
    assert torch.equal(FILLS[name](images, torch.zeros_like(removed)), images)


@pytest.mark.parametrize("name", FILLS)
def test_one_colour_stays_one_colour(name):
    colours = torch.tensor([0.3, -1.7, 2.4])[None, :, None, None]
    images = colours.expand(2, 3, *SIZE).contiguous()
    removed = pixels_of(boards(2, 2, 0.7), GRID, SIZE)
    torch.testing.assert_close(FILLS[name](images, removed), images, rtol=0, atol=5e-6)


def test_mean_is_that_of_what_is_left():
    images, removed = pictures(3, 3), pixels_of(boards(3, 3), GRID, SIZE)
    removed[2] = True  # nothing is left: the mean of all
    filled = fill_mean(images, removed)
    for b, c in itertools.product(range(3), range(3)):
        left = images[b, c][~removed[b]] if b < 2 else images[b, c]
        expected = sum(left.flatten().tolist()) / left.numel()
        np.testing.assert_allclose(filled[b, c][removed[b]], expected, atol=1e-6)


def test_blur_keeps_rough_colours_only():
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64).contiguous()
    checks = ((torch.arange(64)[:, None] + torch.arange(64)) % 2).float().expand(1, 3, 64, 64)
    everything = torch.ones(1, 64, 64, dtype=torch.bool)
    inner = (..., slice(8, 56), slice(8, 56))
    torch.testing.assert_close(fill_blur(ramp, everything)[inner], ramp[inner], rtol=0, atol=0.02)
    torch.testing.assert_close(fill_blur(checks, everything), torch.full_like(checks, 0.5))


@pytest.mark.parametrize("size", [(16, 16), (33, 50), (9, 1), (1, 1), (5, 3)])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_inpainting_is_that_of_the_plain_writing(size, share):
    rng = np.random.default_rng(5)
    images, removed = pictures(5, 2, size), torch.from_numpy(rng.random((2, *size)) < share)
    removed[0, 0, 0] = False
    filled = fill_inpaint(images, removed)
    for b, c in itertools.product(range(2), range(3)):
        expected = oracles.push_pull(images[b, c].numpy().astype(float), ~removed[b].numpy())
        np.testing.assert_allclose(filled[b, c], expected, atol=1e-5)


def test_inpainting_continues_a_ramp():
    ramp = (torch.linspace(0, 1, 64)[:, None] + torch.linspace(0, 0.5, 64)).expand(1, 3, 64, 64).contiguous()
    removed = torch.zeros(1, 64, 64, dtype=torch.bool)
    removed[:, 20:32, 24:40] = True
    wrong = (fill_inpaint(ramp, removed) - ramp).abs().max()
    assert wrong < 0.06 < (fill_mean(ramp, removed) - ramp).abs().max() / 2


# -- effects ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [[0.1, 0.5, 0.3, -0.2, 0.9], [0.25], [0.0, 1.0] * 6])
def test_interval_is_that_of_the_plain_writing(values):
    assert interval(np.array(values), 3) == pytest.approx(oracles.bootstrap(values, 3), abs=1e-12)
    assert interval(np.array(values)) == interval(np.array(values))
    assert np.isnan(interval(np.array([]))).all()


@pytest.mark.parametrize(
    ("change", "control", "spread", "expected"),
    [
        (0.5, 0.0, 0.1, "verified"),
        (0.08, 0.0, 0.01, "verified"),
        (0.04, 0.0, 0.005, "refuted"),  # surely more than the control, and surely too little to tell
        (-0.4, 0.0, 0.1, "refuted"),
        (0.5, 0.5, 0.1, "unverified"),  # any other region does as much
        (0.05, 0.0, 0.2, "unverified"),  # nobody knows
    ],
)
def test_verdicts(change, control, spread, expected):
    rng = np.random.default_rng(0)
    values, others = change + spread * rng.normal(size=15), control + spread * rng.normal(size=15)
    effect = effect_of(values, others, np.zeros(15, bool), np.zeros(15, bool))
    assert effect.verdict == oracles.verdict(values.tolist(), others.tolist()) == expected


def test_an_effect_sums_up():
    change, control = np.array([0.1, 0.2, 0.6]), np.array([0.0, -0.001, 0.004])
    effect = effect_of(change, control, np.array([True, False, True]), np.array([0.0, 0.5, 0.25]))
    assert (effect.n, effect.flips, effect.control_flips) == (3, pytest.approx(2 / 3), 0.25)
    assert (effect.mean, effect.median) == (pytest.approx(0.3), 0.2) and effect.control_mean == pytest.approx(0.001)
    assert effect.control_median == 0 and effect.ratio == pytest.approx(20)  # 0.2 / 0.01, not 0.2 / 0
    assert (effect.low, effect.high) == pytest.approx(oracles.bootstrap(change.tolist(), 0))
    told = effect.to_json()
    assert told["verdict"] == effect.verdict and told["mean"] == 0.3 and type(told["n"]) is int
    large = effect_of(change, change / 2, change > 1, change > 1)
    assert large.ratio == pytest.approx(2)


def test_a_score_that_is_no_number_proves_nothing():
    change = np.array([0.9, np.nan, 0.9])
    assert effect_of(change, np.zeros(3), np.zeros(3), np.zeros(3)).verdict == "unverified"
    assert effect_of(np.full(3, 0.9), change, np.zeros(3), np.zeros(3)).verdict == "unverified"


# -- removal and transplant ---------------------------------------------------------------------------


class Model:
    """p(class 1) grows with the reddest cell of a picture, or with that of some cells only; keeps what it was shown."""

    def __init__(self, cells: np.ndarray | None = None) -> None:
        self.cells, self.shown = cells, []

    def __call__(self, images: torch.Tensor) -> np.ndarray:
        self.shown.append(images.clone())
        red = torch.nn.functional.adaptive_avg_pool2d(images[:, :1], GRID).flatten(1).numpy()
        if self.cells is not None:
            red = red[:, self.cells]
        p = 1 / (1 + np.exp(-20 * (red.max(axis=1) - 0.6)))
        return np.stack([1 - p, p], axis=1)


def marked(seed: int = 0, count: int = 12) -> tuple[torch.Tensor, np.ndarray]:
    """Pictures of noise with a red mark on two cells, each elsewhere, and those cells."""
    rng = np.random.default_rng(seed)
    images = 0.4 * pictures(seed, count)
    cells = np.zeros((count, *GRID), bool)
    for own in cells:
        y, x = rng.integers(GRID[0]), rng.integers(GRID[1] - 1)
        own[y, x : x + 2] = True
    cells = cells.reshape(count, -1)
    images[:, 0][pixels_of(cells, GRID, SIZE)] = 1.0
    return images, cells


def changed(after: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    return (after != before).any(dim=1)


def test_removing_what_the_model_reads_is_verified():
    images, cells = marked()
    effect = remove(images, cells, GRID, 1, Model(), np.random.default_rng(0))
    assert effect.verdict == "verified" and effect.n == 12 and effect.mean > 0.65
    assert effect.flips == pytest.approx(2 / 3)  # a blur leaves so large a mark its colour, the other fills do not
    assert effect.control_flips == 0 and abs(effect.control_mean) < 0.05


def test_removal_changes_the_region_and_nothing_else():
    images, cells = marked()
    kept, model = images.clone(), Model()
    remove(images, cells, GRID, 1, model, np.random.default_rng(0))
    assert torch.equal(images, kept) and torch.equal(model.shown[0], images) and len(model.shown) == 7
    region = pixels_of(cells, GRID, SIZE)
    for after in model.shown[1:4]:
        assert torch.equal(changed(after, images), region)
    control = changed(model.shown[4], images)
    assert not (control & region).any() and not torch.equal(control, region)
    for after in model.shown[4:]:
        assert torch.equal(changed(after, images), control)
    sizes = [pixels_of(np.eye(35, dtype=bool)[k : k + 1], GRID, SIZE).sum().item() for k in range(35)]
    assert 2 * min(sizes) <= control.sum(dim=(1, 2)).min() and control.sum(dim=(1, 2)).max() <= 2 * max(sizes)


def test_effect_of_removal_is_the_mean_over_fills():
    images, cells = marked(1, 6)
    images[3:, 0] *= 0.62  # the model is less sure of some, and says the other class of some
    model, region = Model(), pixels_of(cells, GRID, SIZE)
    effect = remove(images, cells, GRID, 1, model, np.random.default_rng(0))
    falls, flips = [], []
    for k in range(6):
        p = model(images[k : k + 1])[0, 1]
        after = [model(fill(images[k : k + 1], region[k : k + 1]))[0, 1] for fill in FILLS.values()]
        falls.append(sum(p - other for other in after) / 3)
        flips.append(sum(p > 0.5 > other for other in after) / 3)
    assert effect.mean == pytest.approx(sum(falls) / 6) and effect.flips == pytest.approx(sum(flips) / 6)
    assert (effect.low, effect.high) == pytest.approx(oracles.bootstrap(falls, 0))


def test_removing_what_the_model_ignores_is_refuted():
    images, cells = marked()
    images[:, 0][pixels_of(np.tile(block(slice(2, 3), slice(3, 4), GRID), (12, 1)), GRID, SIZE)] = 0.9
    middle = Model(np.array([2 * 7 + 3]))  # it reads a cell of its own
    usable = ~cells[:, 2 * 7 + 3]
    effect = remove(images[usable], cells[usable], GRID, 1, middle, np.random.default_rng(0))
    assert effect.verdict == "refuted" and effect.mean == effect.flips == 0 and effect.n == usable.sum() >= 8


def test_any_region_does_as_much_is_not_verified():
    """A model that reads the whole picture's colour: half of the picture does what the other half does."""

    def score(images: torch.Tensor) -> np.ndarray:
        p = images.std(dim=(1, 2, 3)).numpy().clip(0, 1)
        return np.stack([1 - p, p], axis=1)

    cells = np.tile(np.arange(36) % 6 < 3, (10, 1))
    effect = remove(2 * pictures(2, 10, (36, 36)), cells, (6, 6), 1, score, np.random.default_rng(0))
    assert effect.mean > 0.05 and effect.verdict == "unverified" and effect.ratio == pytest.approx(1, abs=0.1)


def test_pasting_what_the_model_reads_is_verified():
    donors, cells = marked()
    hosts, model = 0.4 * pictures(9, 12), Model()
    kept = hosts.clone(), donors.clone()
    effect = transplant(donors, cells, hosts, GRID, 1, model, np.random.default_rng(0))
    assert effect.verdict == "verified" and effect.mean > 0.9 and effect.flips == 1 and effect.control_flips == 0
    assert torch.equal(hosts, kept[0]) and torch.equal(donors, kept[1]) and torch.equal(model.shown[0], hosts)
    region = pixels_of(cells, GRID, SIZE)
    _, pasted, control = model.shown
    assert torch.equal(pasted, torch.where(region[:, None], donors, hosts))
    elsewhere = changed(control, hosts)
    assert not (elsewhere & region).any() and torch.equal(control, torch.where(elsewhere[:, None], donors, hosts))
    before, after = Model()(hosts)[:, 1], Model()(pasted)[:, 1]
    assert effect.mean == pytest.approx(sum(after - before) / 12)


def test_pasting_what_the_model_ignores_is_refuted():
    donors, cells = marked()
    usable = ~cells[:, 17]
    hosts = 0.4 * pictures(9, int(usable.sum()))
    effect = transplant(donors[usable], cells[usable], hosts, GRID, 1, Model(np.array([17])), np.random.default_rng(0))
    assert effect.verdict == "refuted" and effect.mean == effect.flips == 0


def test_a_host_that_is_the_class_already_does_not_flip():
    donors, cells = marked()
    effect = transplant(donors, cells, donors.flip(0), GRID, 1, Model(), np.random.default_rng(0))
    assert effect.flips == 0 and effect.verdict == "refuted"


def test_a_seed_gives_one_effect():
    images, cells = marked()
    images = images + 0.3 * pictures(5, 12)

    def effect(seed: int) -> Effect:
        return remove(images, cells, GRID, 1, Model(), np.random.default_rng(seed))

    assert effect(0) == effect(0) and effect(0).control_mean != effect(1).control_mean
    assert effect(0).mean == effect(1).mean
