"""Orders that know nothing of the model: what every method has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from engine.errors import EngineError


def random_maps(shape: tuple[int, int], seeds: Sequence[int]) -> Tensor:
    """Maps [B, N] of independent uniform numbers in [0, 1), float32, one seed per sample.

    The numbers of a sample do not depend on its neighbours in the batch.

    Raises:
        EngineError: another number of seeds than samples.
    """
    samples, tokens = shape
    if len(seeds) != samples:
        raise EngineError(f"random maps need one seed per sample: {len(seeds)} seeds for {samples} samples")
    rows = [np.random.default_rng(seed).random(tokens, dtype=np.float32) for seed in seeds]
    return torch.from_numpy(np.stack(rows)) if rows else torch.zeros(shape)


def constant_maps(shape: tuple[int, int]) -> Tensor:
    """Maps [B, N] that are 1 everywhere: a fixed order.

    Of equal tokens the first goes first (``engine.faithfulness.points``), in both directions: pictures are taken away
    from the top left in raster order, texts from the front.
    """
    return torch.ones(shape)
