"""Pictures whose pixels are taken away, or put in, in the order of a relevancy map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import EngineError
from engine.faithfulness.points import flat_maps, flat_usable, gathered, points_of, ranks
from engine.faithfulness.protocols import FILL, Protocol, protocol_of
from engine.interventions.fills import FILLS

ScorePictures = Callable[[Tensor, np.ndarray], Tensor | np.ndarray]
"""(pictures [n, 3, H, W], the samples [n] that they come from) -> scores [n], or [n, Q] for several at once."""
WHOLE_FILLS = ("mean", "blur")


@torch.no_grad()
def perturbed_scores(
    images: Tensor,
    maps: Tensor | np.ndarray,
    grid: tuple[int, int],
    protocol: str | Protocol,
    direction: str,
    score: ScorePictures,
    fill: str | Tensor | Sequence[float] | None = None,
    batch_size: int = 64,
    usable: Tensor | np.ndarray | None = None,
) -> np.ndarray:
    """Scores at every step of a protocol, [..., B, K] float64 (or [..., B, K, Q]).

    A map is brought to the size of the input bilinearly (x16 for patches of 16 pixels, as the authors do) and its
    pixels sorted once; ties are broken as ``engine.faithfulness.points.ranks`` says. The model sees full batches
    through all samples, maps and steps, the whole picture and the empty one once per sample; only one batch of
    pictures exists at a time. Both directions of the same maps in one call:
    ``perturbed_scores(images, torch.stack([maps, -maps]), ..., "positive", ...)``.

    Args:
        images: model inputs [B, 3, H, W]; pictures for the score have their type and device.
        maps: relevancies of the image tokens, [..., B, h * w]: one map per sample, or those of several methods.
        grid: h and w.
        protocol: name or protocol whose removal is "fill".
        direction: "positive" (most relevant first) or "negative".
        score: the model.
        fill: what stands for nothing: a colour in units of the model's input, one number per channel (see
            :func:`black`), "mean" (the picture's own mean colour) or "blur" (the picture, blurred); by default the
            protocol's first. As in RISE it does not depend on what is left, so a deletion ends where an insertion
            begins.
        batch_size: pictures that the model sees at once.
        usable: maps that are tested, [..., B] boolean; the others get NaN and cost nothing.

    Raises:
        EngineError: shapes that do not fit, a fill that needs a colour, maps with NaN that are not left out.
    """
    chosen = protocol_of(protocol)
    if chosen.removal != FILL:
        raise EngineError(
            f"protocol {chosen.name!r} takes regions out; for pixels use 'vit', 'deletion' or 'insertion'"
        )
    if images.dim() != 4:
        raise EngineError(f"pictures must be [B, 3, H, W], not {list(images.shape)}")
    flat = flat_maps(maps, len(images), grid[0] * grid[1], images.device)
    tested = flat_usable(usable, flat)
    totals = np.full(len(images), images.shape[-2] * images.shape[-1])
    points = points_of(chosen.counts("image", totals), totals, tested)
    easel = _Easel(images, flat, grid, direction, chosen, _checked_fill(fill, chosen, images))
    parts = []
    for start in range(0, len(points), batch_size):
        chunk = slice(start, start + batch_size)
        pictures = easel.painted(points.maps[chunk], points.samples[chunk], points.counts[chunk])
        parts.append(score(pictures, points.samples[chunk]))
    curves = points.spread(gathered(parts, len(points)))
    return curves.reshape(*np.shape(maps)[:-1], *curves.shape[2:])


def black(mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """The colour [C] that a black pixel has after normalisation: the authors set pixels to 0 before it."""
    return -torch.as_tensor(mean, dtype=torch.float32) / torch.as_tensor(std, dtype=torch.float32)


def _checked_fill(fill: Any, protocol: Protocol, images: Tensor) -> str | Tensor:
    fill = protocol.fills[0] if fill is None and protocol.fills else fill
    if isinstance(fill, str):
        if fill in WHOLE_FILLS:
            return fill
        raise EngineError(
            f"fill {fill!r}: give a colour per channel in units of the model's input "
            f"(black: engine.faithfulness.pictures.black(mean, std)), or one of {', '.join(WHOLE_FILLS)}"
        )
    colour = torch.as_tensor(fill).to(images.device, images.dtype)
    if colour.shape != images.shape[1:2]:
        raise EngineError(f"a fill of {list(colour.shape)} does not fit pictures of {images.shape[1]} channels")
    return colour[:, None, None]


class _Easel:
    """Paints batches of pictures; keeps the sorted pixels of the last batch's maps, which may go on in the next."""

    def __init__(
        self,
        images: Tensor,
        maps: Tensor,
        grid: tuple[int, int],
        direction: str,
        protocol: Protocol,
        fill: str | Tensor,
    ) -> None:
        self.images, self.maps, self.grid = images, maps, grid
        self.direction, self.inserts, self.fill = direction, protocol.inserts, fill
        self.size = (images.shape[-2], images.shape[-1])
        self.sorted: dict[tuple[int, int], Tensor] = {}

    def painted(self, maps: np.ndarray, samples: np.ndarray, counts: np.ndarray) -> Tensor:
        """Pictures [n, 3, H, W] of points [n]."""
        device = self.images.device
        own, rows = np.unique(np.stack([samples, maps], axis=1), axis=0, return_inverse=True)
        places = self._ranks([(int(b), int(m)) for b, m in own])[torch.from_numpy(rows.reshape(-1)).to(device)]
        reached = places < torch.from_numpy(counts).to(device, torch.int32)[:, None, None]
        numbers = torch.from_numpy(samples).to(device)
        removed = ~reached if self.inserts else reached
        return torch.where(removed[:, None], self._nothing(samples), self.images[numbers])

    def _ranks(self, own: list[tuple[int, int]]) -> Tensor:
        """Places of the pixels of maps (sample, number), [n, H, W] int32."""
        missing = [key for key in own if key not in self.sorted]
        found = {key: self.sorted[key] for key in own if key in self.sorted}
        if missing:
            picked = torch.stack([self.maps[m, b] for b, m in missing]).reshape(-1, 1, *self.grid)
            large = F.interpolate(picked, size=self.size, mode="bilinear", align_corners=False)
            found |= zip(missing, ranks(large.flatten(1), self.direction).unflatten(1, self.size), strict=True)
        self.sorted = found
        return torch.stack([found[key] for key in own])

    def _nothing(self, samples: np.ndarray) -> Tensor:
        """What stands for nothing in the pictures of samples [n], broadcastable to [n, 3, H, W]."""
        if isinstance(self.fill, Tensor):
            return self.fill
        own, rows = np.unique(samples, return_inverse=True)
        pictures = self.images[torch.from_numpy(own).to(self.images.device)]
        whole = torch.ones(len(own), *self.size, dtype=torch.bool, device=pictures.device)
        filled = FILLS[self.fill](pictures, whole)
        return filled[torch.from_numpy(rows.reshape(-1)).to(pictures.device)]
