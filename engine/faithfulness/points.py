"""Points: the different inputs that the curves of several maps need, each of them once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.errors import EngineError
from engine.faithfulness.protocols import DIRECTIONS


@dataclass(frozen=True)
class Points:
    """P different inputs of M maps of B samples at K steps.

    The whole input of a sample, and the empty one, are the same under every map; steps that take away as many tokens as
    the one before give the same input again.

    Attributes:
        maps, samples: which map of which sample, [P] each.
        counts: how many of its tokens come first in the order, [P].
        index: the point of every map, sample and step, [M, B, K]; -1 where the map is not usable.
    """

    maps: np.ndarray
    samples: np.ndarray
    counts: np.ndarray
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.maps)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Scores of the points, [P, ...], as curves [M, B, K, ...]; NaN for maps that are not usable."""
        padded = np.concatenate([values, np.full((1, *values.shape[1:]), np.nan)])
        return padded[self.index]


def points_of(counts: np.ndarray, totals: np.ndarray, usable: np.ndarray) -> Points:
    """List the points, sorted by sample, map and count.

    Args:
        counts: tokens that come first at each step, [B, K].
        totals: tokens that can be taken away, [B].
        usable: maps that are tested, [M, B] boolean.
    """
    numbers, samples = np.arange(len(usable)), np.arange(len(totals))
    shared = (counts == 0) | (counts == totals[:, None])
    stand_in = usable.argmax(axis=0)[:, None] if len(usable) else np.zeros((len(samples), 1), np.int64)
    own = np.where(shared, stand_in, numbers[:, None, None])  # [M, B, K]
    width = int(totals.max(initial=0)) + 1
    keys = ((samples[:, None] * max(len(usable), 1) + own) * width + counts).astype(np.int64)
    keys = np.where(usable[..., None], keys, -1)
    unique, index = np.unique(keys, return_inverse=True)
    index, first = index.reshape(keys.shape), int(len(unique) > 0 and unique[0] == -1)
    unique = unique[first:]
    rest, found = np.divmod(unique, width)
    sample, number = np.divmod(rest, max(len(usable), 1))
    return Points(number, sample, found, index - first)


def ranks(maps: Tensor, direction: str, valid: Tensor | None = None) -> Tensor:
    """Place of every token in the order of removal, 0 for the first: maps [..., N] -> [..., N] int32.

    Of equal tokens the first goes first, in both directions (the authors' ``topk`` leaves that open): pixels in raster
    order, words and regions in theirs. Tokens that are not valid come last.

    Raises:
        EngineError: an unknown direction.
    """
    if direction not in DIRECTIONS:
        raise EngineError(f"direction {direction!r}: must be {' or '.join(map(repr, DIRECTIONS))}")
    falling = direction == "positive"
    if valid is not None:
        maps = maps.masked_fill(~valid, -torch.inf if falling else torch.inf)
    order = maps.argsort(dim=-1, descending=falling, stable=True)
    places = torch.arange(maps.shape[-1], dtype=torch.int32, device=maps.device).expand(maps.shape)
    return torch.empty_like(order, dtype=torch.int32).scatter_(-1, order, places)


def flat_maps(maps: Any, samples: int, tokens: int, device: torch.device) -> Tensor:
    """Maps [..., B, N] as [M, B, N], at least float32. Raises EngineError for another shape."""
    values = torch.as_tensor(maps).detach().to(device)
    if values.dim() < 2 or tuple(values.shape[-2:]) != (samples, tokens):
        raise EngineError(f"maps must be [..., {samples}, {tokens}]: samples and tokens, not {list(values.shape)}")
    wide = values if values.dtype == torch.float64 else values.float()
    return wide.reshape(-1, samples, tokens)


def flat_usable(usable: Any, maps: Tensor, valid: Tensor | None = None) -> np.ndarray:
    """Which maps are tested, [M, B] boolean; all of them unless said otherwise.

    Raises:
        EngineError: another shape, or a map to be tested that holds NaN or infinity: it gives no order.
    """
    shape = tuple(maps.shape[:2])
    chosen = np.ones(shape, bool) if usable is None else np.asarray(torch.as_tensor(usable).cpu()).astype(bool)
    if chosen.size != shape[0] * shape[1]:
        raise EngineError(f"'usable' must be one flag per map, {list(shape)}, not {list(chosen.shape)}")
    chosen = chosen.reshape(shape)
    finite = (maps.isfinite() if valid is None else maps.isfinite() | ~valid).all(dim=-1).cpu().numpy()
    if (chosen & ~finite).any():
        raise EngineError(
            f"{int((chosen & ~finite).sum())} maps hold NaN or infinity and give no order; "
            "leave them out (usable=...) and count them (engine.faithfulness.usable)"
        )
    return chosen


def gathered(parts: list[Any], count: int) -> np.ndarray:
    """Scores of chunks as one float64 array; the device is waited for once."""
    if not parts:
        return np.zeros(count)
    if all(isinstance(part, Tensor) for part in parts):
        return torch.cat([part.detach() for part in parts]).double().cpu().numpy()
    arrays = [part.detach().double().cpu().numpy() if isinstance(part, Tensor) else part for part in parts]
    return np.concatenate([np.asarray(array, np.float64) for array in arrays])
