"""The notebook way of Chefer et al. to explain CLIP, written plainly for open_clip: nothing of our engine takes part.

One picture with some texts: the picture is repeated for every text, all blocks write their attention out, and from the
first explained block on R += mean_h(relu(grad * A)) R in N x N matrices, with one ``autograd.grad`` per block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@contextmanager
def written_out(blocks: nn.Sequential) -> Iterator[list[Tensor]]:
    """Let the blocks compute attention step by step, and collect the maps [B, H, N, N], first block to last."""
    maps: list[Tensor] = []
    modules: list[Any] = [block.attn for block in blocks]
    for module in modules:
        module.forward = _attention(module, maps)
    try:
        yield maps
    finally:
        for module in modules:
            del module.forward  # the class's own is seen again


def interpret(model: Any, image: Tensor, ids: Tensor, start_layer: int = -1) -> tuple[Tensor, Tensor]:
    """Relevancies of the CLIP logits of one picture with B texts.

    Args:
        model: an open_clip model whose texts are read out at the end token, the largest id.
        image: [1, 3, H, W].
        ids: [B, T].
        start_layer: first explained block of both towers; -1, their default, for the last alone.

    Returns:
        Patches of the picture for every text, [B, P], and tokens of the text, [B, T].
    """
    seeing, reading = model.visual.transformer.resblocks, model.transformer.resblocks
    with written_out(seeing) as seen, written_out(reading) as read:
        pictures = model.encode_image(image.repeat(len(ids), 1, 1, 1), normalize=True)
        logits = model.logit_scale.exp() * pictures @ model.encode_text(ids, normalize=True).T
    score = logits.diagonal().sum()
    image_maps, text_maps = (_relevancy(score, maps[start_layer:]) for maps in (seen, read))
    return image_maps[:, 0, 1:], text_maps[torch.arange(len(ids)), ids.argmax(dim=1)]


def _attention(module: nn.MultiheadAttention, maps: list[Tensor]) -> Any:
    def forward(
        q: Tensor, k: Tensor, v: Tensor, need_weights: bool = False, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        projected = F.linear(q, module.in_proj_weight, module.in_proj_bias).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (module.num_heads, -1)).transpose(1, 2) for part in projected)
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        weights = (scores if attn_mask is None else scores + attn_mask).softmax(dim=-1)
        maps.append(weights)
        return module.out_proj((weights @ value).transpose(1, 2).flatten(2)), None

    return forward


def _relevancy(score: Tensor, maps: list[Tensor]) -> Tensor:
    batch, _, tokens, _ = maps[0].shape
    relevancy = torch.eye(tokens).expand(batch, tokens, tokens)
    for attention in maps:
        gradient = torch.autograd.grad(score, [attention], retain_graph=True)[0]
        average = (gradient * attention.detach()).clamp(min=0).mean(dim=1)
        relevancy = relevancy + torch.bmm(average, relevancy)
    return relevancy
