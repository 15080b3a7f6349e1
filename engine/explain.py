"""The front door: explain a batch of any supported, unmodified model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from engine.detections import find_detections
from engine.errors import EngineError
from engine.explanation import Explanation
from engine.methods import Method
from engine.models.adapter import Inputs
from engine.models.loading import LoadedModel
from engine.request import Request
from engine.running import run
from engine.targets import TargetLike, as_target


def explain(
    model: nn.Module | LoadedModel,
    inputs: Inputs,
    *,
    target: TargetLike = None,
    method: str | Method = "gae",
    start_layer: int = 0,
    tokenizer: Any = None,
    engine: str = "auto",
    keep_matrices: bool = False,
    on_zero_row: str = "authors",
    patches: int = 0,
    features: bool = True,
) -> Explanation:
    """Explain the score of every sample of a batch; see :func:`explain_targets` for the arguments.

    Args:
        target: None (predicted class; pair logit for image-text models), a class index, one index per sample [B], a
            name ("predicted", "answer", "clip-logit", "clip-score", "class:NAME", "contrast:A,B") or a target of
            ``engine.targets``.
    """
    return explain_targets(
        model,
        inputs,
        [target],
        method=method,
        start_layer=start_layer,
        tokenizer=tokenizer,
        engine=engine,
        keep_matrices=keep_matrices,
        on_zero_row=on_zero_row,
        patches=patches,
        features=features,
    )[0]


def explain_targets(
    model: nn.Module | LoadedModel,
    inputs: Inputs,
    targets: Sequence[TargetLike],
    *,
    method: str | Method = "gae",
    start_layer: int = 0,
    tokenizer: Any = None,
    engine: str = "auto",
    keep_matrices: bool = False,
    on_zero_row: str = "authors",
    patches: int = 0,
    features: bool = True,
) -> list[Explanation]:
    """Explain several targets of the same batch; they share one forward pass.

    The model is left exactly as it was found (hooks, flags, gradients, mode, ``requires_grad``), also after an error.
    Samples of a batch do not influence each other.

    Args:
        model: a supported model (timm, open_clip, transformers), or what ``load_model`` returned.
        inputs: images [B, 3, H, W] as the model wants them, or a dict with what the model reads of ``image``, ``text``
            (strings or ids [B, T]), ``attention_mask`` [B, T], ``features`` [B, K, D] with ``boxes`` [B, K, 4]
            (fractions of the picture) and ``region_mask`` [B, K].
        targets: what to explain, see :func:`explain`.
        method: name of a method (``list_methods()``) or a method object.
        start_layer: first layer that takes part; negative counts from the end. Ignored by methods that read the last
            map only.
        tokenizer: needed when texts are strings and the model is a bare module.
        engine: "stream" (a row per sample, O(N) state), "record" (whole maps), or "auto" (stream where possible).
        keep_matrices: also return the full R; forces "record".
        on_zero_row: what models with several streams make of a row of zeros in eq. 8-9, where it is 0/0: "authors", as
            their code (DETR: the addition of that layer is dropped; LXMERT: NaN), or "identity", the row stays as it
            was. ``Explanation.zero_rows`` counts how often it mattered.
        patches: also return the states of so many of the most relevant image tokens (``Explanation.patches``), taken
            after half of the image blocks; after the last one for Swin and for models with several streams.
        features: also return ``Explanation.features``. Without them, ``stream`` leaves out of the last block whatever
            no answer reads: of a ViT with CLS that is nearly all of its MLP.

    Raises:
        EngineError: unsupported model, unknown name, or inputs that do not fit; the message is one line.
    """
    request = Request.make(
        model, inputs, method, start_layer, tokenizer, engine, keep_matrices, on_zero_row, patches, features
    )
    wanted = [as_target(t, request.adapter.task == "pair", request.class_names) for t in targets]
    with request.scope():
        return run(request, lambda output: wanted)


def explain_detections(
    model: nn.Module | LoadedModel,
    inputs: Inputs,
    *,
    threshold: float = 0.7,
    most: int = 20,
    method: str | Method = "gae",
    start_layer: int = 0,
    on_zero_row: str = "authors",
    engine: str = "auto",
    keep_matrices: bool = False,
    patches: int = 0,
) -> list[Explanation]:
    """Explain what a detector found; all detections of a batch share one forward pass.

    Args:
        model: a detector, or what ``load_model`` returned.
        inputs: images [B, 3, H, W], or ``{"image": ..., "pixel_mask": [B, H, W]}``.
        threshold: smallest probability of a detection.
        most: detections per picture, the most confident ones.
        method, start_layer, on_zero_row, engine, keep_matrices, patches: as in :func:`explain_targets`.

    Returns:
        Entry k explains the k-th most confident detection of every sample ("detection:k"); ``kept`` [B] says which
        samples have one, the numbers of the others mean nothing. Empty when no sample has any.

    Raises:
        EngineError: the model is no detector, or as in :func:`explain_targets`.
    """
    request = Request.make(model, inputs, method, start_layer, None, engine, keep_matrices, on_zero_row, patches)
    if request.adapter.task != "detect":
        raise EngineError(f"{type(request.module).__name__} is no detector; use explain or explain_targets")
    with request.scope():
        return run(request, lambda output: find_detections(output, threshold, most))
