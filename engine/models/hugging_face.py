"""What all Hugging Face adapters share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from engine.errors import UnsupportedModel


def check_attention(model: nn.Module, path: str) -> None:
    """Raise UnsupportedModel when the library no longer keeps the first attention at ``path``."""
    try:
        model.get_submodule(path)
    except AttributeError:
        raise UnsupportedModel(
            f"{type(model).__name__}: no attention at {path}; "
            "this version of transformers arranges the model differently"
        ) from None


@contextmanager
def under_sdpa(model: nn.Module) -> Iterator[None]:
    """Let every part of the model compute attention with ``scaled_dot_product_attention``; put back on exit.

    "sdpa" is the library's default. Masks are made for it, so causality is kept, unlike with a custom attention that
    is registered without a mask function.
    """
    configs = _configs(model)
    # the internal field: the public one also writes into sub-configurations, which cannot be put back one by one
    before = [(config, config._attn_implementation_internal) for config in configs]
    try:
        for config in configs:
            config._attn_implementation_internal = "sdpa"
        yield
    finally:
        for config, implementation in before:
            config._attn_implementation_internal = implementation


def _configs(model: nn.Module) -> list[Any]:
    found: dict[int, Any] = {}
    for module in model.modules():
        config: Any = getattr(module, "config", None)
        if getattr(config, "_attn_implementation_internal", "sdpa") != "sdpa":
            found[id(config)] = config
    return list(found.values())
