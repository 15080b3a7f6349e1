"""Run a model for explanation and leave it bit for bit as it was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, no parameter gradients and no activation checkpointing inside; all restored on exit.

    Frozen parameters mean that no weight gradient is computed or stored, and that blocks below the first explained
    one build no graph. Checkpointing would run attention a second time inside the backward pass.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    training = [m for m in model.modules() if m.training]
    checkpointed = [m for m in model.modules() if getattr(m, "grad_checkpointing", False) is True]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        for module in training:
            module.training = False
        for module in checkpointed:
            module.grad_checkpointing = False  # type: ignore[assignment]
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        for module in training:
            module.training = True
        for module in checkpointed:
            module.grad_checkpointing = True  # type: ignore[assignment]
