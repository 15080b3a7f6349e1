"""Maps that cannot be tested: they give no order of the tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

NAN = "NaN in the map"
INFINITE = "an infinite value in the map"
NO_TOKEN = "no token at all"
ONE_TOKEN = "one token only"
ZERO = "the map is zero everywhere"
SAME = "the map is the same everywhere"


def why_unusable(maps: Tensor | np.ndarray, valid: Tensor | np.ndarray | None = None) -> list[str | None]:
    """Say of each map why an order cannot be read from it; None where it can.

    A method whose maps give no order would otherwise be tested by whatever breaks ties. The baseline of a fixed order
    (``engine.faithfulness.baselines.constant_maps``) is such a map on purpose: do not ask for it.

    Args:
        maps: relevancies [B, N].
        valid: tokens that can be taken away, [B, N] boolean; what stands at others is not looked at.
    """
    values = torch.as_tensor(maps).detach()
    shown = torch.ones_like(values, dtype=torch.bool) if valid is None else torch.as_tensor(valid).to(values.device)
    counts = shown.sum(dim=1)
    # an invalid place takes the value of a valid one, so that it decides nothing
    first = shown.int().argmax(dim=1, keepdim=True) if values.shape[1] else counts[:, None]
    filled = torch.where(shown, values, values.gather(1, first)) if values.shape[1] else values
    reasons = {  # the first that holds is told
        NAN: (filled.isnan() & shown).any(dim=1),
        INFINITE: (filled.isinf() & shown).any(dim=1),
        NO_TOKEN: counts == 0,
        ONE_TOKEN: counts == 1,
        ZERO: (filled == 0).all(dim=1),
        SAME: (filled == filled[:, :1]).all(dim=1),
    }
    told: list[str | None] = [None] * len(values)
    for reason, rows in reversed(reasons.items()):
        for row in rows.nonzero()[:, 0].tolist():
            told[row] = reason
    return told


def counted(reasons: Iterable[str | None]) -> dict[str, int]:
    """How many maps each reason holds for, most frequent first."""
    return dict(Counter(reason for reason in reasons if reason is not None).most_common())
