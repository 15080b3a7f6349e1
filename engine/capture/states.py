"""Keep the output of named blocks while a model runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def kept_states(model: nn.Module, paths: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Yield a dict that fills with the detached token states [B, N, D] of the modules at ``paths``."""
    states: dict[str, Tensor] = {}
    handles = [model.get_submodule(path).register_forward_hook(_keeper(states, path)) for path in paths]
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()


def _keeper(states: dict[str, Tensor], path: str) -> Any:
    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        states[path] = (output[0] if isinstance(output, tuple) else output).detach()

    return keep
