"""Suspects: cues that predictions go with, found without knowing any. Pure functions over arrays."""

from engine.suspects.candidate import Candidate
from engine.suspects.chance import Chance, chance_of
from engine.suspects.consequence import consequences
from engine.suspects.cues import (
    ConceptCue,
    Cue,
    PairCue,
    PlaceCue,
    PropertyCue,
    UnsupportedCue,
    WordCue,
    WordedCue,
)
from engine.suspects.detectors import DETECTORS, detect
from engine.suspects.observations import NONE, Observations, Property, Words, relevancy_shares, word_entries
from engine.suspects.ranking import ranked
from engine.suspects.vocabulary import telling_words

__all__ = [
    "DETECTORS",
    "NONE",
    "Candidate",
    "Chance",
    "ConceptCue",
    "Cue",
    "Observations",
    "PairCue",
    "PlaceCue",
    "Property",
    "PropertyCue",
    "UnsupportedCue",
    "WordCue",
    "WordedCue",
    "Words",
    "chance_of",
    "consequences",
    "detect",
    "ranked",
    "relevancy_shares",
    "telling_words",
    "word_entries",
]
