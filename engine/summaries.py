"""Numbers that make a relevancy map queryable: where its mass lies and how concentrated it is.

All shares are of the positive part of the map and lie in 0 to 1. A map without positive relevancy has NaN summaries
(and mass 0): there is nothing to have a share of.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.words import Words, word_relevancy

Array = NDArray[np.float32]

TOP_SHARE = 0.10
BORDER = 0.10
CORNER = 0.25
TOP_TOKENS = 5


def image_summaries(
    maps: Array, grid: tuple[int, int], masks: Array | None = None, boxes: Array | None = None
) -> dict[str, Array]:
    """Summaries of image maps.

    Args:
        maps: raw relevancy [B, h * w], row-major.
        grid: (h, w).
        masks: share of each cell that the object mask covers, [B, h, w] in 0 to 1; NaN rows for samples without one.
        boxes: the same for the object boxes.

    Returns:
        Arrays [B]: mass (sum of the raw map), entropy (0 one cell, 1 uniform), top10_mass (share of the strongest 10 %
        of cells), border_share (outer ring, a tenth of the side wide), corner_tl / tr / bl / br (a quarter of each
        side), center_x, center_y (centre of mass, 0 left or top, 1 right or bottom), and mask_share, box_share where
        given.
    """
    h, w = grid
    share = _shares(maps)
    cells = share.reshape(-1, h, w)
    result = {"mass": np.nansum(maps, axis=1), **_concentration(share)}
    result["border_share"] = cells[:, _border(h, w)].sum(axis=1)
    for name, (rows, columns) in _corners(h, w).items():
        result[name] = cells[:, rows, columns].sum(axis=(1, 2))
    result["center_x"] = (cells.sum(axis=1) * _centres(w)).sum(axis=1)
    result["center_y"] = (cells.sum(axis=2) * _centres(h)).sum(axis=1)
    for name, cover in (("mask_share", masks), ("box_share", boxes)):
        if cover is not None:
            result[name] = (cells * cover).sum(axis=(1, 2))
    return {name: values.astype(np.float32) for name, values in result.items()}


def region_summaries(maps: Array, boxes: Array) -> dict[str, Array]:
    """Summaries of maps over regions [B, K] with boxes [B, K, 4] (x0, y0, x1, y1 as fractions of the picture).

    Returns:
        Arrays [B]: mass, entropy and top10_mass as for grids, and center_x, center_y, the mean of the boxes' centres
        by relevancy.
    """
    share = _shares(maps)
    result = {"mass": np.nansum(maps, axis=1), **_concentration(share)}
    result["center_x"] = (share * (boxes[..., 0] + boxes[..., 2]) / 2).sum(axis=1)
    result["center_y"] = (share * (boxes[..., 1] + boxes[..., 3]) / 2).sum(axis=1)
    return {name: values.astype(np.float32) for name, values in result.items()}


def text_summaries(maps: Array, tokens: Sequence[Sequence[str]]) -> dict[str, Array]:
    """Mass, entropy and top10_mass of text maps [B, T] over the shown tokens (those that are not '')."""
    rows = [_text_row(row, pieces) for row, pieces in zip(maps, tokens, strict=True)]
    return {name: np.array([r[name] for r in rows], dtype=np.float32) for name in ("mass", "entropy", "top10_mass")}


def top_tokens(maps: Array, tokens: Sequence[Sequence[str]], count: int = TOP_TOKENS) -> list[list[str]]:
    """The pieces with the largest positive relevancy of each text, strongest first."""
    result = []
    for row, pieces in zip(np.nan_to_num(maps), tokens, strict=True):
        order = np.argsort(-row[: len(pieces)], kind="stable")
        result.append([pieces[i] for i in order if pieces[i] and row[i] > 0][:count])
    return result


def _text_row(row: Array, pieces: Sequence[str]) -> dict[str, float]:
    shown = np.array([bool(p) for p in pieces])
    values = row[: len(pieces)][shown][None, :]
    if values.size == 0:
        return {"mass": 0.0, "entropy": float("nan"), "top10_mass": float("nan")}
    summary = _concentration(_shares(values))
    return {"mass": float(np.nansum(values)), **{name: float(v[0]) for name, v in summary.items()}}


def _shares(maps: Array) -> NDArray[np.float64]:
    """Positive part divided by its sum; NaN rows where the sum is zero."""
    positive = np.nan_to_num(maps.astype(np.float64)).clip(min=0)
    total = positive.sum(axis=1, keepdims=True)
    return np.divide(positive, total, out=np.full_like(positive, np.nan), where=total > 0)


def _concentration(share: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    tokens = share.shape[1]
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    entropy = -(share * logs).sum(axis=1) / np.log(tokens) if tokens > 1 else share.sum(axis=1) * 0
    top = max(1, int(np.ceil(TOP_SHARE * tokens)))
    strongest = np.partition(share, tokens - top, axis=1)[:, tokens - top :].sum(axis=1)
    return {"entropy": entropy, "top10_mass": strongest}


def _border(h: int, w: int) -> NDArray[np.bool_]:
    ring = max(1, round(BORDER * min(h, w)))
    border = np.ones((h, w), dtype=bool)
    border[ring : h - ring, ring : w - ring] = False
    return border


def _corners(h: int, w: int) -> dict[str, tuple[slice, slice]]:
    rows, columns = max(1, round(CORNER * h)), max(1, round(CORNER * w))
    top, bottom = slice(0, rows), slice(h - rows, h)
    left, right = slice(0, columns), slice(w - columns, w)
    return {
        "corner_tl": (top, left),
        "corner_tr": (top, right),
        "corner_bl": (bottom, left),
        "corner_br": (bottom, right),
    }


def _centres(cells: int) -> NDArray[np.float64]:
    return (np.arange(cells) + 0.5) / cells


def top_words(maps: Array, words: Sequence[Words], texts: Sequence[str], count: int = TOP_TOKENS) -> list[list[str]]:
    """The words with the largest positive relevancy of each text, strongest first; ``maps`` [B, T] has a value per
    token."""
    result = []
    for row, own, text in zip(np.nan_to_num(maps), words, texts, strict=True):
        sums, names = word_relevancy(row, own), own.texts(text)
        order = np.argsort(-sums, kind="stable")
        result.append([names[i] for i in order if sums[i] > 0][:count])
    return result
