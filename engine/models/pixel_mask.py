"""Pictures of different sizes in one batch: which pixels and which tokens are picture."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import EngineError


def checked_mask(mask: Any, images: Tensor) -> Tensor | None:
    """Bring a pixel mask [B, H, W] (1 = picture) to the images' device; None stays None.

    Raises:
        EngineError: another shape than the images [B, 3, H, W], or a picture without pixels.
    """
    if mask is None:
        return None
    tensor = torch.as_tensor(mask).to(images.device)
    if tensor.shape != (len(images), *images.shape[-2:]):
        raise EngineError(f"pixel mask {tuple(tensor.shape)} does not fit the images {tuple(images.shape)}")
    if not bool(tensor.flatten(1).any(dim=1).all()):
        raise EngineError("a pixel mask is empty: a picture without pixels")
    return tensor.long()


def valid_cells(mask: Tensor, grid: tuple[int, int]) -> Tensor:
    """Scale a pixel mask [B, H, W] down to the grid as the models do (nearest): [B, h, w] boolean."""
    return F.interpolate(mask[None].float(), size=grid)[0].bool()


def valid_grids(cells: Tensor) -> Tensor:
    """Rows and columns that are picture, [B, 2], of valid cells [B, h, w]."""
    return torch.stack([cells.any(2).sum(1), cells.any(1).sum(1)], dim=1)
