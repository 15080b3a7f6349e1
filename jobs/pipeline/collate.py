"""From the tensors of single samples to those of a batch; what differs in size is padded, with a mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Inputs = dict[str, Tensor]


def collated(samples: Sequence[Inputs]) -> Inputs:
    """The inputs of a batch as the engine takes them: image [B, 3, H, W], features [B, K, D], boxes [B, K, 4].

    Pictures of different sizes stand in the top left corner of the largest, with pixel_mask [B, H, W] (1 = picture);
    regions are padded to the longest list, with region_mask [B, K] (1 = region). Samples without inputs give none.
    """
    batch: Inputs = {}
    if "image" in samples[0]:
        batch |= _pictures([sample["image"] for sample in samples])
    if "features" in samples[0]:
        batch |= _regions(samples)
    return batch


def _pictures(pictures: Sequence[Tensor]) -> Inputs:
    if all(picture.shape == pictures[0].shape for picture in pictures):
        return {"image": torch.stack(list(pictures))}
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (1, 2))
    images = pictures[0].new_zeros(len(pictures), pictures[0].shape[0], height, width)
    mask = torch.zeros(len(pictures), height, width, dtype=torch.long)
    for i, picture in enumerate(pictures):
        images[i, :, : picture.shape[1], : picture.shape[2]] = picture
        mask[i, : picture.shape[1], : picture.shape[2]] = 1
    return {"image": images, "pixel_mask": mask}


def _regions(samples: Sequence[Inputs]) -> Inputs:
    padded = {
        name: torch.nn.utils.rnn.pad_sequence([sample[name] for sample in samples], batch_first=True)
        for name in ("features", "boxes")
    }
    counts = torch.tensor([len(sample["features"]) for sample in samples])
    return {**padded, "region_mask": (torch.arange(int(counts.max())) < counts[:, None]).long()}


def alike(inputs: Inputs, rows: list[int]) -> list[list[int]]:
    """`rows` grouped by the size of their pictures."""
    groups: dict[tuple[int, int], list[int]] = {}
    for row, size in zip(rows, _sizes(inputs, rows), strict=True):
        groups.setdefault(size, []).append(row)
    return list(groups.values())


def part_of(inputs: Inputs, rows: list[int], *, cropped: bool) -> Inputs:
    """The samples at positions `rows`; with `cropped`, pictures (all of one size) without the padding."""
    whole = all(len(values) == len(rows) for values in inputs.values())  # the usual case: no copy, still pinned
    part = dict(inputs) if whole else {name: values[rows] for name, values in inputs.items()}
    if cropped and "pixel_mask" in part:
        height, width = _sizes(inputs, rows[:1])[0]
        part["image"] = part["image"][..., :height, :width]
        del part["pixel_mask"]
    return part


def _sizes(inputs: Inputs, rows: list[int]) -> list[tuple[int, int]]:
    """Height and width of the pictures at `rows`, without padding."""
    if "pixel_mask" not in inputs:
        return [(0, 0)] * len(rows)
    mask = inputs["pixel_mask"][rows]
    heights, widths = mask.amax(2).sum(1).tolist(), mask.amax(1).sum(1).tolist()
    return list(zip(heights, widths, strict=True))
