"""Padding of pictures and regions, and taking it off again."""

from __future__ import annotations

import torch

from jobs.pipeline.collate import alike, collated, part_of

SIZES = [(4, 6), (5, 3), (4, 6)]


def test_pictures_of_many_sizes() -> None:
    pictures = [torch.full((3, *size), float(i + 1)) for i, size in enumerate(SIZES)]
    batch = collated([{"image": picture} for picture in pictures])
    assert batch["image"].shape == (3, 3, 5, 6) and batch["pixel_mask"].shape == (3, 5, 6)
    numbers = torch.arange(1.0, 4.0)[:, None, None]
    assert torch.equal(batch["image"], (batch["pixel_mask"] * numbers)[:, None].expand(3, 3, 5, 6))
    groups = alike(batch, [0, 1, 2])
    assert groups == [[0, 2], [1]]
    for rows in groups:
        part = part_of(batch, rows, cropped=True)
        assert set(part) == {"image"} and torch.equal(part["image"], torch.stack([pictures[row] for row in rows]))
    assert part_of(batch, [1], cropped=False)["image"].shape == (1, 3, 5, 6)


def test_pictures_of_one_size_need_no_mask() -> None:
    batch = collated([{"image": torch.zeros(3, 2, 2)}] * 3)
    assert set(batch) == {"image"} and alike(batch, [0, 2]) == [[0, 2]]
    assert part_of(batch, [0, 1, 2], cropped=True)["image"] is batch["image"]


def test_regions_are_padded_with_a_mask() -> None:
    samples = [{"features": torch.ones(n, 5), "boxes": torch.ones(n, 4)} for n in (2, 4, 1)]
    batch = collated(samples)
    assert batch["features"].shape == (3, 4, 5) and batch["boxes"].shape == (3, 4, 4)
    assert batch["region_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
    assert torch.equal(batch["features"], batch["region_mask"][..., None].expand(3, 4, 5).float())


def test_texts_alone_give_nothing() -> None:
    assert collated([{}, {}]) == {}
