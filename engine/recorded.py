"""Relevancies from recorded maps: whole matrices, written as the paper writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from engine.capture.kernel import MapBlock, wide
from engine.methods import LastMap, LayerProduct, Method
from engine.methods.method import project_heads
from engine.models.adapter import Tower
from engine.rules import identity, moved_update
from engine.walk import valid_map

Maps = Mapping[str, Tensor]


def recorded_answer(
    tower: Tower, method: Method, sites: Sequence[str], attention: Maps, gradient: Maps | None
) -> tuple[Tensor, Tensor | None]:
    """Return the relevancy of all tokens [B, N], and R [B, N, N] for methods that form it.

    Args:
        tower: the stream.
        method: the method.
        sites: explained attention modules, first to last.
        attention: A per site, [B, H, s, t].
        gradient: dA per site, or None for methods without gradient.
    """
    blocks = {s: MapBlock(attention[s], None if gradient is None else gradient[s], slice(None)) for s in sites}
    if isinstance(method, LayerProduct):
        return _product(tower, method.adapted(tower), blocks)
    assert isinstance(method, LastMap)
    if tower.whole_map:
        block = blocks[sites[-1]]
        gradients = None if block.gradient is None else wide(block.gradient)
        matrix = method.combine_map(wide(block.attention), gradients, valid_map(tower), relation=False)
        return (wide(tower.start)[:, None, :] @ matrix).squeeze(1), matrix
    return _last(tower, method, blocks[sites[-1]]), None


def _product(tower: Tower, method: LayerProduct, blocks: Mapping[str, MapBlock]) -> tuple[Tensor, Tensor]:
    row = wide(tower.start)
    eye = identity(len(row), tower.tokens, row)
    carried = torch.zeros_like(eye) if method.skip else eye  # R - I, or R
    for site, block in blocks.items():
        if site != tower.pool:
            matrix = method.matrix(method.weights(block).mean(dim=1))
            carried = moved_update(carried, matrix) if method.skip else matrix @ carried
    if tower.pool is not None:
        pooled = row[:, None, :] @ method.weights(blocks[tower.pool]).mean(dim=1)
        row = tower.padded(pooled.squeeze(1))
    answer = (row[:, None, :] @ carried).squeeze(1)
    if method.skip and tower.pool is not None:
        answer = answer + row  # what the pool takes from each token directly is part of the answer
    return answer, eye + carried if method.skip else carried


def _last(tower: Tower, method: LastMap, block: MapBlock) -> Tensor:
    start = wide(tower.start)
    attention = project_heads(start, block, block.attention)
    gradient = None if block.gradient is None else project_heads(start, block, block.gradient)
    content = tower.content[:, -attention.shape[-1] :]
    return tower.padded(method.combine(attention, gradient, content))
