"""Relevancy engine: explain transformers of timm, open_clip and transformers without editing them."""

from engine.errors import CaptureError, EngineError, UnknownName, UnsupportedModel
from engine.explain import explain, explain_detections, explain_targets
from engine.explanation import Explanation
from engine.methods import list_methods
from engine.models import list_models
from engine.models.loading import LoadedModel, load_model

__all__ = [
    "CaptureError",
    "EngineError",
    "Explanation",
    "LoadedModel",
    "UnknownName",
    "UnsupportedModel",
    "explain",
    "explain_detections",
    "explain_targets",
    "list_methods",
    "list_models",
    "load_model",
]
