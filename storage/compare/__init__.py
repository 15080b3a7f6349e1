"""Two runs of the same data: which predictions changed, and where the relevancy moved."""

from __future__ import annotations

from storage.compare.comparison import LISTS, Comparison, compare
from storage.compare.joined import NothingInCommon, same_data, shared_targets
from storage.compare.maps import resampled_similarity
from storage.compare.sentences import list_sentence, summary_sentences
from storage.compare.settings import differences

__all__ = [
    "LISTS",
    "Comparison",
    "NothingInCommon",
    "compare",
    "differences",
    "list_sentence",
    "resampled_similarity",
    "same_data",
    "shared_targets",
    "summary_sentences",
]
