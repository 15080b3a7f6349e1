"""Copies of a model's structure: what is done to a copy cannot be seen by anybody who uses the model."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from torch import nn


def sharing_weights(module: nn.Module) -> nn.Module:
    """A copy with modules of its own and the very same parameters and buffers."""
    return deepcopy(module, {id(x): x for x in (*module.parameters(), *module.buffers())})


def in_double(module: nn.Module) -> nn.Module:
    """A copy with float64 weights, frozen; parameters that are shared inside the model stay shared."""
    memo: dict[int, Any] = {id(x): x.detach().double() if x.is_floating_point() else x for x in module.buffers()}
    for parameter in module.parameters():
        values = parameter.detach().double() if parameter.is_floating_point() else parameter.detach()
        memo[id(parameter)] = nn.Parameter(values, requires_grad=False)
    return deepcopy(module, memo)
