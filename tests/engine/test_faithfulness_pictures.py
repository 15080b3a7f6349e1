"""Perturbed pictures against one picture at a time, and the truth on models whose important pixels are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracles_faithfulness as oracles
import pytest
import torch
import zoo

from engine.errors import EngineError
from engine.faithfulness import scores
from engine.faithfulness.baselines import constant_maps, random_maps
from engine.faithfulness.curves import areas
from engine.faithfulness.pictures import black, perturbed_scores
from engine.faithfulness.points import ranks
from engine.faithfulness.protocols import PROTOCOLS
from engine.interventions.fills import fill_blur, fill_mean

WEIGHTS = torch.randn(3, 32, 64, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def dot(pictures, rows):
    """A score in which every pixel counts differently."""
    return (pictures.double() * WEIGHTS[:, : pictures.shape[2], : pictures.shape[3]]).flatten(1).sum(dim=1)


def made(samples=3, size=(16, 32), grid=(4, 4), methods=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(samples, 3, *size, generator=generator, dtype=torch.float64)
    # small whole numbers: bilinear values are exact, and there are many ties
    maps = torch.randint(-3, 5, (methods, samples, grid[0] * grid[1]), generator=generator).double()
    return images, maps


def nothing_of(image, fill):
    whole = torch.ones(1, *image.shape[1:], dtype=torch.bool)
    filled = {"mean": fill_mean, "blur": fill_blur}
    return filled[fill](image[None], whole)[0] if isinstance(fill, str) else fill[:, None, None].expand(image.shape)


@pytest.mark.parametrize("direction", ["positive", "negative"])
@pytest.mark.parametrize("name", ["vit", "deletion", "insertion"])
@pytest.mark.parametrize(("size", "grid"), [((16, 32), (4, 4)), ((8, 8), (1, 8)), ((6, 7), (6, 7))])
def test_batches_equal_one_picture_at_a_time(name, direction, size, grid):
    images, maps = made(size=size, grid=grid)
    protocol = PROTOCOLS[name]
    for fill in (torch.tensor([-1.0, 0.5, 2.0]).double(), "mean", "blur"):
        found = perturbed_scores(images, maps, grid, name, direction, dot, fill, batch_size=7)
        expected = np.zeros(found.shape)
        counts = protocol.counts("image", np.array([size[0] * size[1]]))[0]
        for m, b in np.ndindex(2, 3):
            nothing, cells = nothing_of(images[b], fill).numpy(), maps[m, b].numpy().reshape(grid)
            for k, count in enumerate(counts):
                picture = oracles.perturbed_picture(
                    images[b].numpy(), nothing, cells, direction, count, protocol.inserts
                )
                expected[m, b, k] = dot(torch.from_numpy(picture)[None], None)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_shares_are_scored_once_and_batches_are_full():
    images, maps = made(samples=5, methods=3)
    seen = []

    def counting(pictures, rows):
        assert len(pictures) == len(rows)
        seen.append((pictures, rows))
        return dot(pictures, rows)

    found = perturbed_scores(images, torch.stack([maps, -maps]), (4, 4), "deletion", "positive", counting, batch_size=8)
    assert found.shape == (2, 3, 5, 11)
    pictures = sum(len(rows) for _, rows in seen)
    assert pictures == 5 * (2 + 6 * 9)  # the whole and the empty picture once per sample
    assert [len(rows) for _, rows in seen[:-1]] == [8] * (len(seen) - 1)
    assert len(torch.unique(torch.cat([p for p, _ in seen]).flatten(1), dim=0)) == pictures
    for m, direction in enumerate(("positive", "negative")):
        alone = perturbed_scores(images, maps, (4, 4), "deletion", direction, dot, batch_size=64)
        np.testing.assert_allclose(found[m], alone, rtol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_batch_size_and_neighbours_change_nothing(batch_size):
    images, maps = made(samples=4)
    whole = perturbed_scores(images, maps, (4, 4), "insertion", "positive", dot)
    again = perturbed_scores(images, maps, (4, 4), "insertion", "positive", dot, batch_size=batch_size)
    np.testing.assert_allclose(again, whole, rtol=1e-12)
    one = perturbed_scores(images[2:3], maps[1, 2:3], (4, 4), "insertion", "positive", dot, batch_size=batch_size)
    np.testing.assert_allclose(one[0], whole[1, 2], rtol=1e-12)


def test_an_insertion_begins_where_a_deletion_ends():
    images, maps = made()
    for fill in ("mean", "blur"):
        gone = perturbed_scores(images, maps, (4, 4), "deletion", "negative", dot, fill)
        back = perturbed_scores(images, maps, (4, 4), "insertion", "positive", dot, fill)
        np.testing.assert_allclose(gone[..., -1], back[..., 0])
        np.testing.assert_allclose(gone[..., 0], back[..., -1])


def test_several_scores_from_one_forward():
    images, maps = made()

    def two(pictures, rows):
        return torch.stack([dot(pictures, rows), torch.from_numpy(rows).double()], dim=1)

    found = perturbed_scores(images, maps, (4, 4), "vit", "positive", two, fill=[0, 0, 0])
    assert found.shape == (2, 3, 10, 2)
    assert (found[..., 1] == np.arange(3)[:, None]).all()
    np.testing.assert_allclose(
        found[..., 0], perturbed_scores(images, maps, (4, 4), "vit", "positive", dot, fill=[0, 0, 0])
    )


def test_unusable_maps_get_nan_and_cost_nothing():
    images, maps = made(samples=4)
    maps[0, 1, 3] = np.nan
    maps[:, 2] = np.nan
    tested = ~maps.isnan().any(dim=-1)
    rows_seen = []
    found = perturbed_scores(
        images, maps, (4, 4), "vit", "positive", lambda p, rows: rows_seen.extend(rows) or dot(p, rows),
        fill=[0, 0, 0], usable=tested,
    )  # fmt: skip
    assert np.isnan(found[~tested.numpy()]).all() and not np.isnan(found[tested.numpy()]).any()
    assert 2 not in rows_seen and len(rows_seen) == 19 + 10 + 19
    np.testing.assert_allclose(
        found[1, 1], perturbed_scores(images[1:2], maps[1, 1:2], (4, 4), "vit", "positive", dot, [0, 0, 0])[0]
    )
    with pytest.raises(EngineError, match="3 maps hold NaN or infinity"):
        perturbed_scores(images, maps, (4, 4), "vit", "positive", dot, fill=[0, 0, 0])
    nothing = perturbed_scores(images, maps[0], (4, 4), "vit", "positive", dot, [0, 0, 0], usable=torch.zeros(4))
    assert nothing.shape == (4, 10) and np.isnan(nothing).all()


def test_a_constant_map_means_raster_order():
    images = torch.rand(1, 3, 4, 5)
    images[0] += 1
    shown = []

    def score(pictures, rows):
        shown.append(pictures)
        return pictures.sum((1, 2, 3))

    for direction in ("positive", "negative"):
        perturbed_scores(images, constant_maps((1, 20)), (4, 5), "vit", direction, score, [0, 0, 0])
    for pictures in shown:
        gone = (pictures == 0).all(dim=1).flatten(1)
        assert all(bool(row[:k].all()) and not row[k:].any() for row, k in zip(gone, range(0, 20, 2), strict=True))
    assert ranks(torch.tensor([[2.0, 1, 2, 1]]), "positive").tolist() == [[0, 2, 1, 3]]
    assert ranks(torch.tensor([[2.0, 1, 2, 1]]), "negative").tolist() == [[2, 0, 3, 1]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_pictures_keep_their_type(dtype):
    images, maps = made()
    types = set()
    for fill in ("mean", "blur", black([0.5] * 3, [0.25] * 3)):
        found = perturbed_scores(
            images.to(dtype), maps.to(dtype), (4, 4), "deletion", "positive",
            lambda p, rows: types.add(p.dtype) or dot(p, rows).numpy(), fill,
        )  # fmt: skip
        assert found.dtype == np.float64 and np.isfinite(found).all()
    assert types == {dtype}


def test_black_is_what_the_authors_set_before_normalisation():
    mean, std = [0.5, 0.4, 0.3], [0.5, 0.2, 0.1]
    picture = torch.rand(1, 3, 4, 4)
    normalise = lambda p: (p - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]  # noqa: E731
    cut = picture.clone()
    cut[..., :2, :] = 0
    shown = []
    protocol = replace(PROTOCOLS["vit"], steps={"image": (0.5,)})
    perturbed_scores(
        normalise(picture), constant_maps((1, 16)), (4, 4), protocol, "positive",
        lambda p, rows: shown.append(p) or p.sum((1, 2, 3)), black(mean, std),
    )  # fmt: skip
    torch.testing.assert_close(shown[0], normalise(cut))


def test_refusals_name_what_is_needed():
    images, maps = made()
    ask = lambda **c: perturbed_scores(**{  # noqa: E731
        "images": images, "maps": maps, "grid": (4, 4), "protocol": "vit", "direction": "positive", "score": dot,
        "fill": [0, 0, 0], **c,
    })  # fmt: skip
    with pytest.raises(EngineError, match=r"fill 'black'.*black\(mean, std\)"):
        ask(fill=None)
    with pytest.raises(EngineError, match="fill 'inpaint'"):
        ask(fill="inpaint")
    with pytest.raises(EngineError, match="pictures of 3 channels"):
        ask(fill=[0, 0])
    with pytest.raises(EngineError, match=r"maps must be \[..., 3, 20\]"):
        ask(grid=(4, 5))
    with pytest.raises(EngineError, match="takes regions out"):
        ask(protocol="lxmert")
    with pytest.raises(EngineError, match="'positive' or 'negative'"):
        ask(direction="up")
    with pytest.raises(EngineError, match="one flag per map"):
        ask(usable=torch.ones(3))
    with pytest.raises(EngineError, match=r"\[B, 3, H, W\]"):
        ask(images=images[0])


# -- the truth: a model whose important pixels are known ------------------------------------------------------------

CELLS = (2, 5)
VALUES = np.array([7.0, 0.5, 3.0, 11.0, 1.0, 5.0, 2.0, 0.25, 9.0, 4.0])  # brightness of the ten pixels


def brightness(pictures, rows):
    return pictures[:, 0].sum(dim=(1, 2))


def bright_enough(pictures, rows):
    """Predicts class 1 while 20 of the brightness is left: right or wrong."""
    total = brightness(pictures, rows)
    return scores.accuracy(torch.stack([torch.full_like(total, 20), total], dim=1), torch.ones(len(rows)).long())


@pytest.mark.parametrize("measure", ["score", "accuracy"])
@pytest.mark.parametrize("name", ["vit", "deletion", "insertion"])
def test_the_oracle_is_best_its_reverse_worst_and_random_in_between(name, measure):
    images = torch.from_numpy(VALUES).reshape(1, 1, *CELLS).expand(1, 3, *CELLS)
    model = brightness if measure == "score" else bright_enough
    plain = sum if measure == "score" else (lambda left: float(sum(left) > 20))
    steps = PROTOCOLS[name].steps_of("image")
    maps = torch.cat(
        [torch.from_numpy(VALUES)[None], -torch.from_numpy(VALUES)[None], random_maps((60, 10), range(60))]
    )
    rows = perturbed_scores(
        images, maps[:, None], CELLS, name, "positive", model, [0, 0, 0]
    )[:, 0]  # fmt: skip
    gone = [10 - round(10 * s) if name == "insertion" else round(10 * s) for s in steps]
    least, greatest = (oracles.trapezoid_area(steps, row) for row in oracles.extremes(VALUES, plain, gone))
    best, worst = (greatest, least) if name == "insertion" else (least, greatest)
    own, reverse, *others = areas(steps, rows)
    assert own == pytest.approx(best) and reverse == pytest.approx(worst)
    low, high = min(best, worst), max(best, worst)
    assert all(low - 1e-9 <= other <= high + 1e-9 for other in others)
    margin = 0.1 * (high - low)
    assert low + margin < np.mean(others) < high - margin
    backwards = perturbed_scores(images, maps[:1, None], CELLS, name, "negative", model, [0, 0, 0])[0, 0]
    np.testing.assert_allclose(backwards, rows[1])


def test_the_oracle_wins_on_patches_enlarged_as_the_authors_do():
    generator = torch.Generator().manual_seed(4)
    cells = torch.rand(6, 49, generator=generator)
    images = cells.reshape(6, 1, 7, 7).repeat_interleave(16, 2).repeat_interleave(16, 3).expand(6, 3, 112, 112)
    maps = torch.stack([cells, -cells, random_maps((6, 49), range(6))])
    rows = perturbed_scores(images, maps, (7, 7), "vit", "positive", brightness, [0, 0, 0])
    own, reverse, random = areas(PROTOCOLS["vit"].steps_of("image"), rows)
    assert (own < random).all() and (random < reverse).all()


def test_a_transformer_is_scored_as_by_itself():
    model, images = zoo.build("vit_cls"), zoo.inputs("vit_cls")
    maps = random_maps((3, 16), range(3))
    with torch.no_grad():
        classes = model(images).argmax(dim=1)
    measures = [scores.accuracy, scores.probability, scores.score]

    def score(pictures, rows):
        logits = model(pictures)
        return torch.stack([measure(logits, classes[rows]) for measure in measures], dim=1)

    found = perturbed_scores(images, maps, (4, 4), "vit", "positive", score, [0, 0, 0], batch_size=4)
    assert (found[:, 0, 0] == 1).all()  # the clean point is what was predicted
    assert ((found[..., 1] > 0) & (found[..., 1] < 1)).all()
    row = torch.tensor(oracles.enlarged(maps[1].reshape(4, 4).double().numpy(), 32, 32)).flatten()
    cut = images[1:2].clone().flatten(2)
    cut[:, :, row.argsort(descending=True)[: int(1024 * 0.4)]] = 0
    with torch.no_grad():
        logit = model(cut.reshape(1, 3, 32, 32))[0, classes[1]]
    assert found[1, 4, 2] == pytest.approx(float(logit), rel=1e-4)


def test_scores_of_logits():
    logits = torch.tensor([[1.0, 3.0, 2.0], [0.0, -1.0, -2.0]])
    classes = torch.tensor([1, 2])
    assert scores.accuracy(logits, classes).tolist() == [1, 0]
    assert scores.score(logits, classes).tolist() == [3, -2]
    assert scores.probability(logits, classes).tolist() == pytest.approx(
        [np.exp(3) / np.exp([1, 3, 2]).sum(), np.exp(-2) / np.exp([0, -1, -2]).sum()]
    )
    credits = torch.tensor([[0.0, 0.6, 1.0], [0.0, 1.0, 0.3]])
    assert scores.soft_accuracy(logits, credits).tolist() == pytest.approx([0.6, 0])
    assert set(scores.SCORES) >= {p.score for p in PROTOCOLS.values()}
