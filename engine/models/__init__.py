"""Adapters for the supported families, and loading models by name."""

from __future__ import annotations

from typing import Any

from torch import nn

from engine.errors import UnsupportedModel
from engine.models.adapter import Adapter
from engine.models.blip import BlipMatching
from engine.models.detr import Detr
from engine.models.hf_pairs import HFPairs
from engine.models.hf_text import HFText
from engine.models.hf_vision import HFVision
from engine.models.lxmert import Lxmert
from engine.models.open_clip_pairs import OpenClipPairs
from engine.models.swin import HFSwin, TimmSwin
from engine.models.timm_vit import TimmViT
from engine.models.vilt import Vilt, ViltRetrieval
from engine.models.visual_bert import VisualBert

ADAPTERS: tuple[Adapter, ...] = (
    TimmViT(),
    TimmSwin(),
    OpenClipPairs(),
    HFVision(),
    HFSwin(),
    HFText(),
    HFPairs(),
    VisualBert(),
    Lxmert(),
    Detr(),
    Vilt(),
    ViltRetrieval(),
    BlipMatching(),
)

REFUSED = {
    "SwinTransformerV2Cr": "of the Swin V2 variants only SwinTransformerV2 (timm:swinv2_...) has an adapter",
    "ViltForImagesAndTextClassification": "it compares two pictures; one picture and one text are explained at a time",
    "Xcit": "its attention runs over channels, not tokens",
    "DeformableDetrForObjectDetection": "deformable attention samples points: there is no attention map",
}


def find_adapter(model: nn.Module) -> Adapter:
    """Return the adapter of a model.

    Raises:
        UnsupportedModel: no adapter knows the class, or the adapter refuses this configuration; the message says why.
    """
    for adapter in ADAPTERS:
        if adapter.recognises(model):
            adapter.check(model)
            return adapter
    name = type(model).__name__
    reason = REFUSED.get(name, "no adapter knows this class, so its attention cannot be captured faithfully")
    raise UnsupportedModel(f"{name} is not supported: {reason}; see `python -m jobs models` for what is")


def list_models() -> list[dict[str, Any]]:
    """Return one row per family and library: a name to type, task, modalities and what is explained."""
    return [
        {
            "name": example,
            "family": family,
            "library": adapter.library,
            "task": adapter.task,
            "modalities": list(adapter.modalities),
            "reads_regions": adapter.reads_regions,
            "example": example,
            "description": adapter.description,
        }
        for adapter in ADAPTERS
        for family, example in adapter.families().items()
    ]


__all__ = ["ADAPTERS", "Adapter", "find_adapter", "list_models"]
