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
from jobs.pictures import read_pictures
from jobs.readers import Dataset

PAIRS = 256  # that are shuffled: every picture of them with every text that is not its own
QUANTILES = 1001


def shuffled_scores(loaded: LoadedModel, dataset: Dataset, target: str, unusable: Collection[int]) -> dict[str, Any]:
    """Quantiles of the scores that pictures have with the texts of others, for run.json.

    Empty for models without towers of their own for pictures and texts, and where every text belongs to every picture.
    The pairs are chosen by a fixed seed: a run that is begun again finds the same.
    """
    if not isinstance(loaded.adapter, PairAdapter) or dataset.text is None:
        return {}
    ids, pictures = read_pictures(dataset, [row for row in _chosen(len(dataset)) if row not in unusable])
    paths, texts = [str(dataset.picture(row)) for row in ids], [str(dataset.text[row].as_py()) for row in ids]
    if len(set(texts)) < 2:
        return {}
    cosines = embed_pictures(loaded, pictures) @ embed_words(loaded, texts).T
    with torch.no_grad():
        scores = measure_of(loaded, target)(cosines.to(next(loaded.model.parameters()).device)).float().cpu().numpy()
    other = scores[_foreign(paths, texts)]
    if not len(other):
        return {}
    quantiles = np.quantile(other, np.linspace(0, 1, QUANTILES))
    return {
        "target": target,
        "pairs": len(texts),
        "shuffled": len(other),
        "quantiles": [round(float(value), 6) for value in quantiles],
    }


def _foreign(paths: list[str], texts: list[str]) -> np.ndarray:
    """Which text belongs to no pair of which picture, boolean [N, N]; pictures and texts may occur in several pairs."""
    _, picture = np.unique(paths, return_inverse=True)
    _, text = np.unique(texts, return_inverse=True)
    own = np.zeros((picture.max() + 1, text.max() + 1), bool)
    own[picture, text] = True
    return ~own[picture][:, text]


def _chosen(count: int) -> list[int]:
    """Up to `PAIRS` of `count` rows, spread at random by a fixed seed."""
    rows = np.random.default_rng(0).choice(count, min(PAIRS, count), replace=False)
    return [int(row) for row in np.sort(rows)]


def percentiles(scores: np.ndarray, reference: dict[str, Any]) -> np.ndarray:
    """Share of the shuffled pairs that score lower, percent [B] float32.

    Many pairs can have the very same score (a CLIPScore of 0); they are not lower than each other.
    """
    quantiles = np.asarray(reference["quantiles"])
    below = np.nextafter(scores.astype(np.float64), -np.inf)
    return np.interp(below, quantiles, np.linspace(0, 100, len(quantiles))).astype(np.float32)
