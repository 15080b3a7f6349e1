"""The authors' algorithm, written plainly: one sample at a time, every map of every layer kept, N x N products.

As in their code, weights take part in the backward pass and (for CLIP) each layer's gradient is a call of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from engine.capture.interceptor import Interceptor
from engine.capture.record import RecordCapture


@contextmanager
def unfused(model: Any) -> Iterator[list[Tensor]]:
    """Let a timm ViT write its attention out and collect the maps."""
    maps: list[Tensor] = []
    blocks = list(model.blocks)
    handles = [b.attn.attn_drop.register_forward_hook(lambda m, i, out: maps.append(out)) for b in blocks]
    for block in blocks:
        block.attn.fused_attn = False
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()
        for block in blocks:
            block.attn.fused_attn = True


def vit_relevancy(model: Any, images: Tensor) -> Tensor:
    """GAE of the predicted class, image by image: [B, 3, H, W] -> [B, P]."""
    rows = []
    with unfused(model) as maps:
        for image in images:
            maps.clear()
            logits = model(image[None])
            for attention in maps:
                attention.retain_grad()
            model.zero_grad()
            logits[0, logits.argmax()].backward(retain_graph=True)
            rows.append(_product([(a, a.grad) for a in maps])[0, 0, 1:])
    model.zero_grad(set_to_none=True)
    return torch.stack(rows)


def clip_relevancy(model: Any, images: Tensor, texts: Tensor, sites: Mapping[str, Sequence[str]]) -> Tensor:
    """GAE of the pair logit over all layers of both towers, pair by pair: the image rows, [B, P]."""
    every = [site for group in sites.values() for site in group]
    rows = []
    for image, text in zip(images, texts, strict=True):
        capture = RecordCapture(frozenset(every))
        with Interceptor(model, every, capture):
            features = model.encode_image(image[None], normalize=True), model.encode_text(text[None], normalize=True)
        logit = (features[0] * features[1]).sum() * model.logit_scale.exp()
        results = {
            tower: _product(
                [
                    (capture.attention[s], torch.autograd.grad(logit, capture.attention[s], retain_graph=True)[0])
                    for s in group
                ]
            )
            for tower, group in sites.items()
        }
        rows.append(results["image"][0, 0, 1:])
    return torch.stack(rows)


def _product(maps: list[tuple[Tensor, Any]]) -> Tensor:
    relevancy = torch.eye(maps[0][0].shape[-1])[None]
    for attention, gradient in maps:
        average = (gradient.detach() * attention.detach()).clamp(min=0).mean(dim=1)
        relevancy = relevancy + average @ relevancy
    return relevancy
