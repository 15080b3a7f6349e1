"""Relevancy engine: explain transformers of timm, open_clip and transformers without editing them."""

from engine.errors import CaptureError, EngineError, UnknownName, UnsupportedModel
from engine.explain import explain, explain_detections, explain_targets
from engine.explanation import Explanation
from engine.methods import list_methods
from engine.models import list_models
from engine.models.loading import LoadedModel, load_model
from engine.pairs import Pairs, explain_pairs
from engine.words import Words, word_relevancy, word_spans, words_of

__all__ = [
    "CaptureError",
    "EngineError",
    "Explanation",
    "LoadedModel",
    "Pairs",
    "UnknownName",
    "UnsupportedModel",
    "Words",
    "explain",
    "explain_detections",
    "explain_pairs",
    "explain_targets",
    "list_methods",
    "list_models",
    "load_model",
    "word_relevancy",
    "word_spans",
    "words_of",
]
