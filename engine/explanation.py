"""The result of an explanation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from engine.patches import Patches
from engine.words import Words


@dataclass(frozen=True)
class Explanation:
    """Relevancies of a batch and the settings that made them. All tensors are detached.

    Attributes:
        relevancy: per modality: "image" [B, h * w] row-major over the grid; "text" [B, T], zero where a token is
            never shown (start, end, padding).
        score: the explained score of each sample, [B], in the model's own units (a logit, unless the target says else).
        logits: class logits [B, C], or the pair logit [B] of image-text models.
        target_index: explained class of each sample [B], when the target is one class.
        cosine: cosine of each pair, [B], for image-text models.
        grid: rows and columns (h, w) of the image tokens.
        tokens: readable pieces of each text, aligned with relevancy["text"]; '' for tokens that are never shown.
        words: words of each text in the characters of the text as it was given, and the word of every column of
            relevancy["text"]; columns that are never shown have none. None where texts came as ids.
        features: per modality, the relevancy-weighted mean of the last block's token states, [B, D]; zero where the
            relevancy is zero everywhere. Empty with ``features=False``.
        matrices: R per (modality, modality), [B, N, N] with all tokens, only with ``keep_matrices=True``.
        regions: boxes [B, K, 4] (x0, y0, x1, y1, fractions of the picture) of models that read region features;
            relevancy["image"] is then [B, K] and there is no grid.
        region_mask: regions that are not padding, [B, K] boolean.
        grids: rows and columns that are not padding, [B, 2], where pictures of a batch were padded to one size;
            relevancy["image"] is laid out over ``grid`` and zero outside.
        query, query_box, confidence, kept: detectors; the explained query [B], its box [B, 4] as fractions of the
            picture, the probability of its class [B], and whether the sample has such a detection [B].
        pixels: full LRP; relevance of every pixel, [B, H, W], signed.
        zero_rows: how many normalisations (eq. 8-9) met a row of zeros, 0/0, [B]; models with several streams.
        patches: the most relevant image tokens and their states, with ``patches=T`` and for models that see pictures.
        method, target, engine, start_layer, on_zero_row: the settings.
    """

    relevancy: dict[str, Tensor]
    score: Tensor
    logits: Tensor
    method: str
    target: str
    engine: str
    start_layer: int
    target_index: Tensor | None = None
    cosine: Tensor | None = None
    grid: tuple[int, int] | None = None
    tokens: list[list[str]] | None = None
    words: list[Words] | None = None
    features: dict[str, Tensor] = field(default_factory=dict)
    matrices: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    regions: Tensor | None = None
    region_mask: Tensor | None = None
    grids: Tensor | None = None
    query: Tensor | None = None
    query_box: Tensor | None = None
    confidence: Tensor | None = None
    kept: Tensor | None = None
    zero_rows: Tensor | None = None
    on_zero_row: str = "authors"
    pixels: Tensor | None = None
    patches: Patches | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Everything needed to make it again from the same model and inputs."""
        return {
            "method": self.method,
            "target": self.target,
            "engine": self.engine,
            "start_layer": self.start_layer,
            "on_zero_row": self.on_zero_row,
        }
