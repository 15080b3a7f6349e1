"""Keep the token states that named modules return while a model runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def kept_states(model: nn.Module, places: Mapping[str, tuple[str, int]]) -> Iterator[dict[str, Tensor]]:
    """Yield a dict that fills with detached token states [B, N, D].

    Args:
        model: any module.
        places: name -> (path of a module, which element of its output when it returns several).
    """
    states: dict[str, Tensor] = {}
    handles = [
        model.get_submodule(path).register_forward_hook(_keeper(states, name, element))
        for name, (path, element) in places.items()
    ]
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()


def _keeper(states: dict[str, Tensor], name: str, element: int) -> Any:
    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        states[name] = (output[element] if isinstance(output, tuple) else output).detach()

    return keep
