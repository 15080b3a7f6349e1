"""What scores mean in a dataset: the distribution of the scores of shuffled pairs, known before any is explained."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch

from engine import LoadedModel
from engine.models.embedding import embed_pictures, embed_words
from engine.models.pairs import PairAdapter
from engine.pairs import measure_of
from jobs.pictures import PictureError, decode
from jobs.readers import Dataset

PAIRS = 256  # that are shuffled: every picture of them with every other text
QUANTILES = 1001


def shuffled_scores(loaded: LoadedModel, dataset: Dataset, target: str, unusable: Collection[int]) -> dict[str, Any]:
    """Quantiles of the scores that pictures have with the texts of others, for run.json.

    Empty for models without towers of their own for pictures and texts, and where there are no two different texts.
    The pairs are chosen by a fixed seed: a run that is begun again finds the same.
    """
    if not isinstance(loaded.adapter, PairAdapter) or dataset.text is None:
        return {}
    ids = [row for row in _chosen(len(dataset)) if row not in unusable]
    pictures, texts = [], []
    for row in ids:
        path = dataset.picture(row)
        try:
            if path is not None:
                pictures.append(decode(dataset.root / path))
                texts.append(str(dataset.text[row].as_py()))
        except PictureError:
            continue
    if len(set(texts)) < 2:
        return {}
    cosines = embed_pictures(loaded, pictures) @ embed_words(loaded, texts).T
    with torch.no_grad():
        scores = measure_of(loaded, target)(cosines.to(next(loaded.model.parameters()).device)).float().cpu().numpy()
    _, group = np.unique(texts, return_inverse=True)
    other = scores[group[:, None] != group[None]]
    quantiles = np.quantile(other, np.linspace(0, 1, QUANTILES))
    return {
        "target": target,
        "pairs": len(texts),
        "shuffled": len(other),
        "quantiles": [round(float(value), 6) for value in quantiles],
    }


def _chosen(count: int) -> list[int]:
    """Up to `PAIRS` of `count` rows, spread at random by a fixed seed."""
    rows = np.random.default_rng(0).choice(count, min(PAIRS, count), replace=False)
    return [int(row) for row in np.sort(rows)]


def percentiles(scores: np.ndarray, reference: dict[str, Any]) -> np.ndarray:
    """Share of the shuffled pairs that score lower, percent [B] float32."""
    quantiles = np.asarray(reference["quantiles"])
    return np.interp(scores, quantiles, np.linspace(0, 100, len(quantiles))).astype(np.float32)
