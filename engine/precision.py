"""The number formats that a model may run in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from engine.errors import EngineError


@dataclass(frozen=True)
class Precision:
    """Format of matrix products under autocast; relevancies are accumulated in float32 in any case.

    Attributes:
        name: as it is given to ``load_model``.
        dtype: None leaves the model as it is.
        gain: factor on the score during the backward pass, a power of two, so that dividing by it loses no digit.
            float16 ends at 6e-8: gradients below it would be zeros, and a map is a product of them over all layers.
            Every dA is divided by the gain in float32 before a method sees it.
    """

    name: str
    dtype: torch.dtype | None = None
    gain: float = 1.0

    @property
    def half(self) -> bool:
        """Whether products are made in 16 bits."""
        return self.dtype is not None

    def autocast(self, device: str) -> AbstractContextManager[Any]:
        """Around calls of the model, on a type of device ("cpu", "cuda")."""
        return nullcontext() if self.dtype is None else torch.autocast(device, self.dtype)

    def check(self, device: str) -> None:
        """Raise EngineError unless a type of device multiplies matrices in this format under autocast."""
        if self.dtype is None:
            return
        try:
            with torch.no_grad(), self.autocast(device):
                ones = torch.ones(2, 2, device=device)
                found = (ones @ ones).dtype
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise self._unavailable(device) from error
        if found != self.dtype:
            raise self._unavailable(device)

    def _unavailable(self, device: str) -> EngineError:
        return EngineError(f"precision {self.name!r} is not available on device {device!r}: use fp32 there")


PRECISIONS = {
    p.name: p
    for p in (
        Precision("fp32"),
        Precision("bf16", torch.bfloat16),
        Precision("fp16", torch.float16, gain=256.0),
    )
}
