"""The detectors, by name. A new one is a function that proposes candidates, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from engine.errors import UnknownName
from engine.suspects.candidate import Candidate
from engine.suspects.concept import detect_concepts
from engine.suspects.hosts import with_hosts
from engine.suspects.location import detect_locations
from engine.suspects.observations import Observations
from engine.suspects.properties import detect_properties
from engine.suspects.word import detect_words

Detector = Callable[[Observations, np.random.Generator], list[Candidate]]
DETECTORS: dict[str, Detector] = {
    "concept": detect_concepts,
    "location": detect_locations,
    "property": detect_properties,
    "word": detect_words,
}


def detect(seen: Observations, seed: int = 0, kinds: Iterable[str] | None = None) -> list[Candidate]:
    """All candidates of the named detectors (default: all), highest score first. The seed fixes the result.

    Raises:
        UnknownName: there is no such detector.
    """
    found: list[Candidate] = []
    for kind in DETECTORS if kinds is None else kinds:
        if kind not in DETECTORS:
            raise UnknownName("detector", kind, DETECTORS)
        found += DETECTORS[kind](seen, np.random.default_rng(seed))
    return with_hosts(seen, sorted(found, key=lambda candidate: -candidate.score))
