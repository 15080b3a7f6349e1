"""What the engine said about some samples, as numpy arrays for the writer."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from engine import Explanation
from engine.models.preprocess import Preprocess
from engine.patches import Patches
from engine.words import Words
from jobs.pipeline.collate import Inputs
from jobs.pipeline.facts import Facts
from jobs.pipeline.pairs import PairFacts
from jobs.targets import Target

TOP_CLASSES = 5


@dataclass
class Result:
    """One target of B samples; `keep` [B] marks the samples it is stored for."""

    target: Target
    keep: np.ndarray
    grid: tuple[int, int] | None  # rows, columns that relevancy["image"] is laid out over; None for regions
    score: np.ndarray  # float32 [B]
    relevancy: dict[str, np.ndarray]  # float32 [B, tokens] per modality
    features: dict[str, np.ndarray]  # float32 [B, width] per modality
    tokens: list[list[str]] | None
    target_index: np.ndarray | None  # int32 [B], None when the score is not that of one class
    top_indices: np.ndarray | None  # int32 [B, <=5], best class first; None for pairs
    top_probs: np.ndarray | None
    zero_rows: np.ndarray | None = None  # int32 [B], None for models without the normalisation of eq. 8 and 9
    query: np.ndarray | None = None  # int32 [B], detections only
    query_box: np.ndarray | None = None  # float32 [B, 4], fractions of the picture
    confidence: np.ndarray | None = None  # float32 [B]
    patch_tokens: np.ndarray | None = None  # int64 [B, T], strongest first, -1 where a sample has fewer; image only
    patch_states: np.ndarray | None = None  # float32 [B, T + 1, D], the last one that of the rest
    words: list[Words] | None = None  # of the texts, where they were given as strings
    pairs: PairFacts | None = None  # image-text models with two towers only

    @property
    def is_detection(self) -> bool:
        """Whether the target is one object that a detector found."""
        return self.query is not None

    def taken(self, rows: np.ndarray) -> Result:
        """The samples at positions `rows`."""
        parts: dict[str, Any] = {f.name: _taken(getattr(self, f.name), rows) for f in fields(self)}
        return replace(self, **parts)


@dataclass
class Chunk:
    """What is known of B explained samples, ready for the writer."""

    ids: np.ndarray
    sizes: np.ndarray
    views: np.ndarray
    masks: np.ndarray | None
    boxes: np.ndarray | None
    labels: np.ndarray  # int32 [B], -1 without a class number
    results: list[Result]
    grids: np.ndarray | None = None  # int32 [B, 2] rows, columns of each sample's own map, inside the results' grid
    regions: np.ndarray | None = None  # float32 [B, K, 4] boxes of the map's values, fractions of the picture
    region_mask: np.ndarray | None = None  # bool [B, K]
    facts: Facts | None = None  # what was measured of the pictures


def result_of(target: Target, explanation: Explanation, labels: np.ndarray, pairs: PairFacts | None = None) -> Result:
    """One target's explanation as arrays; `labels` int32 [B], -1 for none."""
    detection = explanation.query is not None
    top_indices, top_probs = _top_classes(explanation.logits, detection)
    keep = labels >= 0 if target.is_label else np.ones(len(labels), bool)
    if explanation.kept is not None:
        keep = explanation.kept.cpu().numpy().astype(bool)
    return Result(
        target=target,
        keep=keep,
        grid=explanation.grid,
        score=_numbers(explanation.score),
        relevancy={name: _numbers(values) for name, values in explanation.relevancy.items()},
        features={name: _numbers(values) for name, values in (explanation.features or {}).items()},
        tokens=None if explanation.tokens is None else [_without_padding(t) for t in explanation.tokens],
        target_index=_whole(explanation.target_index),
        top_indices=top_indices,
        top_probs=top_probs,
        zero_rows=_whole(explanation.zero_rows),
        query=_whole(explanation.query),
        query_box=_optional(explanation.query_box),
        confidence=_optional(explanation.confidence),
        words=explanation.words,
        pairs=pairs,
        **_patches(explanation.patches),
    )


def _patches(patches: Patches | None) -> dict[str, np.ndarray]:
    """Fields of a `Result`."""
    if patches is None:
        return {}
    states = torch.cat([patches.states, patches.rest[:, None]], dim=1)
    return {
        "patch_tokens": patches.tokens.masked_fill(~patches.valid, -1).cpu().numpy(),
        "patch_states": _numbers(states),
    }


def own_grids(
    explanation: Explanation, inputs: Inputs, preprocess: Preprocess | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Grid [B, 2] of each sample and the view [B, 4] it covers, for pictures that keep their own size; else None.

    In a padded batch a sample's last row or column of tokens may lie on the padding: the model's own way of scaling
    its mask decides, so the view follows from the grid, not from the picture's size alone.
    """
    if preprocess is None or not preprocess.varies or explanation.grid is None:
        return None
    image = inputs["image"]
    rows, whole = len(image), np.array(image.shape[-2:])
    grids, sizes = np.tile(np.array(explanation.grid, np.int32), (rows, 1)), np.tile(whole, (rows, 1))
    if explanation.grids is not None:
        grids = explanation.grids.int().cpu().numpy()
    if "pixel_mask" in inputs:
        mask = inputs["pixel_mask"]
        sizes = torch.stack([mask.amax(2).sum(1), mask.amax(1).sum(1)], dim=1).cpu().numpy()
    cell = preprocess.stride if preprocess.stride > 1 else whole / explanation.grid
    reach = grids * cell / sizes
    views = np.stack([np.zeros(rows), np.zeros(rows), reach[:, 1], reach[:, 0]], axis=1)
    return grids, views.astype(np.float32)


def unfit(result: Result) -> np.ndarray:
    """Samples [B] whose score or relevancy is not finite, where they are kept at all."""
    checks = [np.isfinite(result.score), *(np.isfinite(values).all(axis=1) for values in result.relevancy.values())]
    return result.keep & ~np.logical_and.reduce(checks)


def _taken(value: Any, rows: np.ndarray) -> Any:
    if isinstance(value, np.ndarray):
        return value[rows]
    if isinstance(value, PairFacts):
        return value.taken(rows)
    if isinstance(value, dict):
        return {name: array[rows] for name, array in value.items()}
    return [value[row] for row in rows] if isinstance(value, list) else value


def _without_padding(tokens: list[str]) -> list[str]:
    """Tokens up to the last one that is shown: the end token and the padding after it have no word."""
    end = max((i + 1 for i, token in enumerate(tokens) if token), default=0)
    return tokens[:end]


def _top_classes(logits: torch.Tensor, detection: bool) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The best classes and their softmax probabilities, [B, <=5] each; nothing for the logits [B] of pairs.

    A detector's last column, "no object", takes part in the softmax but is no class.
    """
    if logits.dim() != 2:
        return None, None
    probabilities = logits.float().softmax(dim=1)
    probabilities = probabilities[:, :-1] if detection else probabilities
    best = probabilities.topk(min(TOP_CLASSES, probabilities.shape[1]), dim=1)
    return best.indices.int().cpu().numpy(), _numbers(best.values)


def _numbers(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()


def _optional(tensor: torch.Tensor | None) -> np.ndarray | None:
    return None if tensor is None else _numbers(tensor)


def _whole(tensor: torch.Tensor | None) -> np.ndarray | None:
    return None if tensor is None else tensor.int().cpu().numpy()
