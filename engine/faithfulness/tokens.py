"""Words and regions that are taken out of a model's input: it becomes shorter, nothing is masked in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.errors import EngineError
from engine.faithfulness.points import Points, flat_maps, flat_usable, gathered, points_of, ranks
from engine.faithfulness.protocols import Protocol, protocol_of

ScoreTokens = Callable[[dict[str, Tensor], np.ndarray], Tensor | np.ndarray]
"""(inputs of n samples, the samples [n] that they come from) -> scores [n], or [n, Q] for several at once."""

NAMES = {
    "text": ("text", "input_ids", "attention_mask", "special", "token_type_ids"),
    "image": (
        *("features", "visual_embeds", "visual_feats", "region_mask", "visual_attention_mask"),
        *("boxes", "visual_pos", "visual_token_type_ids"),
    ),
}
"""Inputs with one entry per word or region, as the adapters (``engine.models``) and the library call them."""
MASKS = {"text": ("attention_mask",), "image": ("region_mask", "visual_attention_mask")}


def without_tokens(
    inputs: Mapping[str, Tensor], text: Tensor | None = None, regions: Tensor | None = None
) -> dict[str, Tensor]:
    """The same inputs with some words or regions only.

    What is kept moves together in its old order, so that positions follow the shortened text as in the authors' code;
    rows are padded, under a mask, to the longest. Inputs that belong to neither stay as they are.

    Args:
        inputs: tensors [B, ...] of a model that reads words, regions or both (names: :data:`NAMES`).
        text: words that are kept, [B, T] boolean; padding is never kept.
        regions: regions that are kept, [B, K] boolean.

    Raises:
        EngineError: no such inputs, another shape, a text that becomes empty, or samples without any region beside
            samples with some: attention to nothing but padding is not attention to nothing.
    """
    result = dict(inputs)
    for modality, keep in (("text", text), ("image", regions)):
        if keep is not None:
            result |= _shortened(inputs, modality, keep)
    return result


def real_tokens(inputs: Mapping[str, Tensor], modality: str) -> Tensor:
    """Words or regions that are not padding, [B, N] boolean. Raises EngineError where there are none."""
    name = next((name for name in NAMES[modality] if name in inputs and name not in MASKS[modality]), None)
    if name is None:
        raise EngineError(f"inputs without {'words' if modality == 'text' else 'regions'}: {', '.join(inputs)}")
    mask = next((inputs[name] for name in MASKS[modality] if inputs.get(name) is not None), None)
    shape = inputs[name].shape[:2]
    return torch.ones(shape, dtype=torch.bool, device=inputs[name].device) if mask is None else mask.bool()


def removable_tokens(inputs: Mapping[str, Tensor], modality: str, kept: tuple[int, int] = (1, 1)) -> Tensor:
    """Words or regions that may be taken away, [B, N] boolean.

    Every region; of a text all but its first and last tokens and what a tokenizer calls special.

    Args:
        inputs: as :func:`without_tokens`.
        modality: "text" or "image".
        kept: how many tokens at the front and at the end of every text always stay: (1, 1) for [CLS] and [SEP], (1, 2)
            for VisualBERT, which is read from the last but one, '?'.
    """
    real = real_tokens(inputs, modality)
    if modality != "text":
        return real
    position = torch.arange(real.shape[1], device=real.device)
    inner = real & (position >= kept[0]) & (position < real.sum(dim=1, keepdim=True) - kept[1])
    return inner & ~inputs["special"].bool() if "special" in inputs else inner


@torch.no_grad()
def perturbed_token_scores(
    inputs: Mapping[str, Tensor],
    maps: Tensor | np.ndarray,
    modality: str,
    protocol: str | Protocol,
    direction: str,
    score: ScoreTokens,
    batch_size: int = 64,
    removable: Tensor | None = None,
    usable: Tensor | np.ndarray | None = None,
) -> np.ndarray:
    """Scores at every step of a protocol, [..., B, K] float64 (or [..., B, K, Q]).

    Every different input is scored once, short ones beside short ones. A sample without removable tokens has the same
    score at all steps: ``engine.faithfulness.usable`` tells it.

    Args:
        inputs: tensors of B samples, as an adapter's ``prepare`` gives them; the score hands them on to ``forward``.
        maps: relevancies of the words or regions, [..., B, N], padding included.
        modality: "text" or "image" (regions); the other one stays whole.
        protocol: name or protocol.
        direction: "positive" (most relevant first) or "negative".
        score: the model.
        batch_size: samples that the model sees at once.
        removable: tokens that may be taken away, [B, N] boolean; by default those that the protocol does not keep.
        usable: maps that are tested, [..., B] boolean; the others get NaN and cost nothing.

    Raises:
        EngineError: as :func:`without_tokens`, or maps with NaN that are not left out.
    """
    chosen = protocol_of(protocol)
    real = real_tokens(inputs, modality)
    free = removable_tokens(inputs, modality, chosen.kept) if removable is None else removable.to(real.device) & real
    flat = flat_maps(maps, real.shape[0], real.shape[1], real.device)
    tested = flat_usable(usable, flat, free)
    totals = free.sum(dim=1).cpu().numpy()
    points = points_of(chosen.counts(modality, totals), totals, tested)
    places = ranks(flat, direction, free.expand(flat.shape))
    order, parts = [], []
    for chunk, keep in _chunks(points, places, real, free, chosen.inserts, batch_size):
        rows = torch.from_numpy(points.samples[chunk]).to(real.device)
        own = {name: tensor[rows] for name, tensor in inputs.items() if tensor is not None}
        batch = without_tokens(own, text=keep) if modality == "text" else without_tokens(own, regions=keep)
        order.append(chunk)
        parts.append(score(batch, points.samples[chunk]))
    found = gathered(parts, len(points))
    values = np.empty_like(found)
    if order:
        values[np.concatenate(order)] = found
    curves = points.spread(values)
    return curves.reshape(*np.shape(maps)[:-1], *curves.shape[2:])


def _chunks(
    points: Points, places: Tensor, real: Tensor, free: Tensor, inserts: bool, batch_size: int
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Points [n], and the tokens that they keep [n, N]: sorted by length, those that keep nothing by themselves."""
    totals, fixed = free.sum(dim=1).cpu().numpy(), (real & ~free).sum(dim=1).cpu().numpy()
    left = points.counts if inserts else totals[points.samples] - points.counts
    lengths = left + fixed[points.samples]
    by_length = np.argsort(lengths, kind="stable")
    for group in (by_length[lengths[by_length] == 0], by_length[lengths[by_length] > 0]):
        for start in range(0, len(group), batch_size):
            chunk = group[start : start + batch_size]
            maps, samples, counts = (
                torch.from_numpy(numbers[chunk]).to(real.device)
                for numbers in (points.maps, points.samples, points.counts)
            )
            first = places[maps, samples] < counts[:, None]
            moved = free[samples]
            yield chunk, (real[samples] & ~moved) | (moved & (first if inserts else ~first))


def _shortened(inputs: Mapping[str, Tensor], modality: str, keep: Tensor) -> dict[str, Tensor]:
    real = real_tokens(inputs, modality)
    if keep.shape != real.shape:
        raise EngineError(f"what is kept must be {list(real.shape)}, like the inputs, not {list(keep.shape)}")
    keep = keep.to(real.device).bool() & real
    counts = keep.sum(dim=1)
    longest, shortest = (int(counts.max()), int(counts.min())) if len(counts) else (0, 0)
    if shortest == 0 and (modality == "text" or longest):
        raise EngineError(
            "a text without any token cannot be read"
            if modality == "text"
            else "samples without any region must not share a batch with samples that have some"
        )
    order = (~keep).to(torch.int8).argsort(dim=1, stable=True)[:, :longest]
    mask = torch.arange(longest, device=real.device) < counts[:, None]
    result = {name: _picked(inputs[name], order, mask) for name in NAMES[modality] if inputs.get(name) is not None}
    masks = [name for name in MASKS[modality] if name in result] or [MASKS[modality][0]]
    return result | {name: mask.to(inputs[name].dtype if name in inputs else _mask_type(modality)) for name in masks}


def _picked(tensor: Tensor, order: Tensor, mask: Tensor) -> Tensor:
    """Entries in a new order, [B, N, ...] -> [B, L, ...]; zero where the mask is False."""
    index, shown = (
        order.reshape(*order.shape, *[1] * (tensor.dim() - 2)),
        mask.reshape(*mask.shape, *[1] * (tensor.dim() - 2)),
    )
    return tensor.gather(1, index.expand(*order.shape, *tensor.shape[2:])).masked_fill(~shown, 0)


def _mask_type(modality: str) -> Any:
    return torch.long if modality == "text" else torch.bool
