"""Fills: what a removed region of a picture is replaced by."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Fill = Callable[[Tensor, Tensor], Tensor]
"""(images [B, C, H, W], removed [B, H, W] boolean) -> images with the removed pixels replaced, all others untouched."""

BLUR_CELLS = 8  # the blurred picture keeps 8 x 8 cells


def fill_mean(images: Tensor, removed: Tensor) -> Tensor:
    """The mean colour of what is left of each picture (of all of it, where nothing is left)."""
    kept = (~removed)[:, None].to(images.dtype)
    kept = torch.where(kept.sum(dim=(2, 3), keepdim=True) > 0, kept, torch.ones_like(kept))
    mean = (images * kept).sum(dim=(2, 3), keepdim=True) / kept.sum(dim=(2, 3), keepdim=True)
    return torch.where(removed[:, None], mean, images)


def fill_blur(images: Tensor, removed: Tensor) -> Tensor:
    """The same picture, blurred: rough colours stay, what is depicted goes."""
    coarse = F.adaptive_avg_pool2d(images, BLUR_CELLS)
    blurred = F.interpolate(coarse, size=images.shape[-2:], mode="bicubic", align_corners=False)
    return torch.where(removed[:, None], blurred, images)


def fill_inpaint(images: Tensor, removed: Tensor) -> Tensor:
    """Smoothly continued from the neighbours: push-pull interpolation (Gortler et al. 1996) over a pyramid of means."""
    weight = (~removed)[:, None].to(images.dtype)
    levels = [(images * weight, weight)]
    while max(levels[-1][1].shape[-2:]) > 1:
        levels.append(_half(*levels[-1]))
    values, weight = levels.pop()
    filled = values / weight.clamp(min=1e-6)
    for values, weight in reversed(levels):
        above = F.interpolate(filled, size=values.shape[-2:], mode="bilinear", align_corners=False)
        filled = values + (1 - weight) * above
    return torch.where(removed[:, None], filled, images)


def _half(values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of 2 x 2 cells, weights capped at 1: a cell that is known well enough counts as known."""
    values = F.avg_pool2d(values, 2, ceil_mode=True, count_include_pad=False) * 4
    weight = F.avg_pool2d(weight, 2, ceil_mode=True, count_include_pad=False) * 4
    capped = weight.clamp(max=1)
    return values * capped / weight.clamp(min=1e-6), capped


FILLS: dict[str, Fill] = {"mean": fill_mean, "blur": fill_blur, "inpaint": fill_inpaint}
