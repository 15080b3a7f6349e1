"""`--device`: where the model runs."""

from __future__ import annotations

import torch

from jobs.errors import JobError


def chosen_device(name: str) -> str:
    """The torch device; `auto` is the GPU when there is one. Raises `JobError` for one that cannot be used."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise JobError(f"--device {name} cannot be used here; --device auto takes what there is") from error
    return name
